"""The same server as a user starts it, asked over HTTP on loopback from another process."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from superserve_cli.errors import SuperserveError

PATIENCE_S = 10.0


@contextmanager
def server(folder: Path, profile: Path, options: Sequence[str]) -> Iterator[str]:
    """The URL of a server of a SuperNet's folder that is ready; it is ended in the end."""
    command = [sys.executable, "-m", "superserve_cli", "serve", str(folder), "--profile", str(profile), "--port", "0", "--quiet", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        if " on http://" not in said:
            raise SuperserveError("the server did not start", hint="its own output above says why")
        yield said.partition(" on ")[2].split()[0]
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
