"""How long a person waits for the command line itself."""

import subprocess
import sys
from typing import Final

from superserve_cli.bench.figure import Figure, median_s
from superserve_cli.core.nouns import Progress

REPEATS: Final = 11


def start(progress: Progress) -> list[Figure]:
    """`superserve --help`, from the start of the process to its end."""
    progress(0, 1, "superserve --help")
    seconds = median_s(_help, REPEATS)
    progress(1, 1, "")
    return [Figure("help_s", "superserve --help", seconds, "s", 0.3)]


def _help() -> None:
    subprocess.run([sys.executable, "-m", "superserve_cli", "--help"], check=True, capture_output=True)
