"""Where results come from: when, by which command, with which versions."""

import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from superserve_cli import __version__

SECRET: Final = ("--api-key",)
"""Options whose value goes into no file."""


def created() -> str:
    """Now, in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def command() -> list[str]:
    """The command line of this process, as a person would type it, without what only that person may know."""
    hidden, words = False, ["superserve"]
    for word in sys.argv[1:]:
        option, is_, _ = word.partition("=")
        words.append("***" if hidden else f"{option}=***" if option in SECRET and is_ else word)
        hidden = word in SECRET
    return words


def versions() -> dict[str, str]:
    """The versions that every result depends on."""
    return {"superserve": __version__, "python": platform.python_version()}


def processor() -> str:
    """The name of this machine's processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
