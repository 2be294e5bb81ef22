"""What SuperNets run on: devices by name, and how many threads of a CPU."""

import os
import re
from typing import Final

import torch

from superserve_cli.errors import BadOption, Unknown

MOST_THREADS: Final = 1024
FORM: Final = re.compile(r"cpu|cuda(:\d+)?")


def device(name: str) -> torch.device:
    """The device that `cpu`, `cuda` or `cuda:1` names; raises Unknown for another word, BadOption for a GPU that is not there."""
    if not FORM.fullmatch(name):
        raise Unknown("device", name, ["cpu", "cuda", "cuda:0"])
    if name == "cpu":
        return torch.device(name)
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = int(name.partition(":")[2] or 0)
    if index >= found:
        raise BadOption(
            f"there is no device {name}", hint=f"PyTorch sees {found} CUDA device{'s' * (found != 1)} here; --device cpu always works"
        )
    return torch.device("cuda", index)


def threads(asked: int | None) -> int:
    """As many threads as are asked for, by default all cores but one; raises BadOption for less than one, or far too many."""
    count = max(1, (os.cpu_count() or 1) - 1) if asked is None else asked
    if count < 1:
        raise BadOption(f"{count} threads", hint="a worker needs at least 1")
    if count > MOST_THREADS:
        raise BadOption(f"{count} threads", hint=f"at most {MOST_THREADS}; more than there are cores make a worker slower")
    return count
