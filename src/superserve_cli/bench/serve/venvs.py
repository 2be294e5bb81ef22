"""What is beside us in a comparison: a folder per server, with `requirements.txt` and `serve.py`, and a virtual environment made of it.

`serve.py --model FILE.onnx --port P --threads N --max-batch B --least-us U` serves the model `m` by the Open Inference Protocol v2, in
batches of at most B, and drops what has less than U microseconds left, until SIGTERM.
"""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path
from typing import Final, NamedTuple

from superserve_cli.errors import BadFile

APPLICATION: Final = "serve.py"
REQUIREMENTS: Final = "requirements.txt"
CONSTRAINTS: Final = "constraints.txt"
MADE: Final = "made-of"
INSTALL_S: Final = 900


class Peer(NamedTuple):
    """A server beside us: the interpreter of its environment, or why there is none."""

    name: str
    application: Path
    python: Path
    absent: str = ""


def peers(folder: Path, cache: Path) -> list[Peer]:
    """The peers of a folder, each with its environment, which is made when it is not there; raises BadFile for a folder without any."""
    found = sorted(path.parent.resolve() for path in folder.glob(f"*/{APPLICATION}"))
    if not found:
        raise BadFile(f"{folder} holds no */{APPLICATION}", hint="the repository's own peers are in bench/peers")
    return [_peer(path, cache / path.name) for path in found]


def _peer(path: Path, environment: Path) -> Peer:
    """A peer whose environment is made of what its files say now."""
    python, asked = environment / "bin" / "python", _hash(path)
    made = environment / MADE
    absent = "" if made.exists() and made.read_text() == asked else _make(path, environment, asked)
    return Peer(path.name, path / APPLICATION, python, absent)


def _hash(path: Path) -> str:
    files = [path / REQUIREMENTS, path / CONSTRAINTS]
    texts = [sys.version, *(file.read_text() for file in files if file.exists())]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _make(path: Path, environment: Path, asked: str) -> str:
    """Install; returns why it did not work, or nothing."""
    venv.create(environment, clear=True, with_pip=True)
    constraints = ["-c", str(path / CONSTRAINTS)] if (path / CONSTRAINTS).exists() else []
    command = [str(environment / "bin" / "python"), "-m", "pip", "install", "--quiet", "-r", str(path / REQUIREMENTS), *constraints]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        return f"not installed within {INSTALL_S} s"
    if done.returncode:
        return f"not installed: {_last(done.stderr)}"
    (environment / MADE).write_text(asked)
    return ""


def _last(text: str) -> str:
    errors = [line for line in text.splitlines() if line.startswith("ERROR")]
    return (errors or text.splitlines() or ["pip failed"])[-1][:200]


def version(peer: Peer) -> str:
    """What is installed of the first that its requirements name."""
    first = (peer.application.parent / REQUIREMENTS).read_text().split("==")[0].partition("[")[0].strip()
    code = f"from importlib.metadata import version; print({first!r}, version({first!r}))"
    return subprocess.run([peer.python, "-c", code], capture_output=True, text=True, check=False).stdout.strip()
