"""The logging extension: how much the server says on stderr, read and changed while it runs."""

import logging
from collections.abc import Mapping
from typing import Any, Final

from superserve_cli.serving.refusals import Invalid, Unsupported

ROOT: Final = logging.getLogger("superserve")
FLAGS: Final = {"log_info": logging.INFO, "log_warning": logging.WARNING, "log_error": logging.ERROR}
VERBOSE: Final = "log_verbose_level"
FIXED: Final = {"log_file": "", "log_format": "default"}


def settings() -> dict[str, Any]:
    """What is said now; `log_file` is empty for stderr."""
    level = ROOT.getEffectiveLevel()
    return {**FIXED, **{name: level <= of for name, of in FLAGS.items()}, VERBOSE: int(level <= logging.DEBUG)}


def change(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Say more or less from now on, and the settings then; raises Invalid, and Unsupported for what is not to be changed."""
    for name, value in asked.items():
        if name in FIXED and value != FIXED[name]:
            raise Unsupported(f"{name} cannot be changed: the log goes to stderr")
        if name not in {*FIXED, *FLAGS, VERBOSE}:
            raise Invalid(f"there is no log setting {name!r}; there are {', '.join((*FLAGS, VERBOSE))}")
        if name in FLAGS and not isinstance(value, bool):
            raise Invalid(f"{name} must be true or false, not {value!r}")
    wanted = {**settings(), **asked}
    if type(wanted[VERBOSE]) is not int or wanted[VERBOSE] < 0:
        raise Invalid(f"{VERBOSE} must be an integer of at least 0, not {wanted[VERBOSE]!r}")
    ROOT.setLevel(_level(wanted, asked))
    return settings()


def _level(wanted: Mapping[str, Any], asked: Mapping[str, Any]) -> int:
    """The one level that says so: whoever hears of information hears of warnings and errors too."""
    if wanted[VERBOSE] and wanted["log_info"]:
        return logging.DEBUG
    said = [level for name, level in FLAGS.items() if wanted[name]]
    if not said:
        return logging.CRITICAL
    if silent := [name for name, level in FLAGS.items() if level > min(said) and not wanted[name]]:
        least = next(name for name, level in FLAGS.items() if level == min(said))
        raise Invalid(f"{silent[0]} cannot be off while {least} is on: turn the lesser ones off first, or all at once")
    return min(said)
