"""A headless Chromium, driven over a pipe in the DevTools protocol: messages of JSON, each with a NUL byte at its end.

`python -m tests.serving.chromium URL FILE.png` takes a picture of the page of a server.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from base64 import b64decode
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

CHROMIUM: Final = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
PATIENCE_S: Final = 60.0
STEP_S: Final = 0.05
FLAGS: Final = (
    "--headless",
    "--no-sandbox",  # it shows only what the tests serve
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-sync",
    "--remote-debugging-pipe",
    "--force-device-scale-factor=1",
)


class Chromium:
    """One tab. Everything that its page says on the console, every error in it and every request that it makes is remembered."""

    def __init__(self, folder: Path) -> None:
        assert CHROMIUM is not None
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # it reads from descriptor 3 and writes to 4
        places = f"3<&{theirs_in} 4>&{theirs_out}"
        command = ["bash", "-c", f'exec "$@" {places}', "bash", CHROMIUM, *FLAGS, f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self._calls, self._read, self._session, self._loaded = 0, b"", "", False
        self.complaints: list[str] = []
        self.requests: list[str] = []
        targets = self.call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """The result of a command."""
        self._loaded = False
        self._calls += 1
        session = {"sessionId": self._session} if self._session else {}
        os.write(self._out, json.dumps({"id": self._calls, "method": method, "params": parameters, **session}).encode() + b"\0")
        while (message := self._message()).get("id") != self._calls:
            self._note(message)
        assert "error" not in message, message
        return message["result"]

    def _message(self) -> Mapping[str, Any]:
        while b"\0" not in self._read:
            piece = os.read(self._in, 1 << 16)
            assert piece, "Chromium has ended"
            self._read += piece
        text, _, self._read = self._read.partition(b"\0")
        return dict(json.loads(text))

    def _note(self, message: Mapping[str, Any]) -> None:
        said = message.get("params", {})
        self._loaded |= message.get("method") == "Page.loadEventFired"
        if message.get("method") == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(said["exceptionDetails"].get("exception", {}).get("description", str(said)))
        elif message.get("method") == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.complaints.append(said["entry"]["text"])
        elif message.get("method") == "Runtime.consoleAPICalled":
            self.complaints.append(str(said["args"]))

    def open(self, url: str, wide: int = 1280, high: int = 900, dark: bool = False, phone: bool = False) -> None:
        """Go to a page, on a screen of so many pixels."""
        self.call("Emulation.setDeviceMetricsOverride", width=wide, height=high, deviceScaleFactor=2 if phone else 1, mobile=phone)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.go(url)

    def go(self, url: str) -> None:
        """The same on whatever screen there is; comes back when the page has loaded."""
        self.call("Page.navigate", url=url)
        while not self._loaded:
            self._note(self._message())

    def ask(self, expression: str) -> Any:
        """What an expression of JavaScript is on the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, expression: str, holds: Callable[[Any], bool] = bool) -> Any:
        """The expression's value once it is as it should be."""
        end = time.monotonic() + PATIENCE_S
        while not holds(value := self.ask(expression)):
            assert time.monotonic() < end, f"{expression} is still {value!r}"
            time.sleep(STEP_S)
        return value

    def picture(self, path: Path) -> None:
        """What is on the screen, as PNG."""
        path.write_bytes(b64decode(self.call("Page.captureScreenshot")["data"]))

    def close(self) -> None:
        """End it."""
        os.close(self._out)
        os.close(self._in)
        self._process.terminate()
        self._process.wait()


def main(url: str, path: str) -> None:
    """Write the picture, of the page's upper part."""
    with tempfile.TemporaryDirectory() as folder:
        browser = Chromium(Path(folder))
        try:
            browser.call("Emulation.setScrollbarsHidden", hidden=True)
            browser.open(url, 1160, 850)
            browser.until("samples.length && document.querySelectorAll('#legend td').length")
            browser.picture(Path(path))
        finally:
            browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
