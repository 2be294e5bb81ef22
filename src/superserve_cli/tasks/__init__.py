"""What SuperNets learn and servers are asked: small labelled tasks. No torch here."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from superserve_cli.errors import Unknown
from superserve_cli.tasks.digit_tokens import digit_tokens
from superserve_cli.tasks.digits import digits
from superserve_cli.tasks.glyphs import glyphs
from superserve_cli.tasks.own import own
from superserve_cli.tasks.task import Split, Task

TASKS: Final[dict[str, Callable[[int], Task]]] = {"glyphs": glyphs, "digits": digits, "digit-tokens": digit_tokens}


def load(spec: str, seed: int = 0) -> Task:
    """The task of a name, or of `npz:FILE`; raises Unknown, BadFile, or what says which package is missing."""
    if spec.startswith("npz:"):
        return own(Path(spec.removeprefix("npz:")), seed)
    if spec not in TASKS:
        raise Unknown("task", spec, [*TASKS, "npz:FILE"])
    return TASKS[spec](seed)


__all__ = ["TASKS", "Split", "Task", "load"]
