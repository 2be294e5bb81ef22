"""One run of `superserve calibrate`: statistics of some subnets of a SuperNet, which goes on where it was interrupted."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from superserve_cli import tasks
from superserve_cli.core import provenance
from superserve_cli.core.nouns import Progress, Subnet, silent
from superserve_cli.errors import BadOption
from superserve_cli.supernet import Statistics, SuperNet
from superserve_cli.training import part
from superserve_cli.training.calibrate import calibrate
from superserve_cli.training.evaluate import correct, front, spread
from superserve_cli.training.images import Images, load_task, own_task


@dataclass(frozen=True)
class Calibration:
    """What is calibrated (`subnets`), on which images and device; `path` is where finished statistics are kept meanwhile."""

    supernet: SuperNet
    subnets: tuple[Subnet, ...]
    images: Images
    device: torch.device
    path: Path

    @property
    def identity(self) -> dict[str, Any]:
        """What two halves of an interrupted calibration must have in common."""
        return {"SuperNet": self.supernet.hash, "data": self.images.digest, "batch size": self.images.batch}

    @property
    def rated(self) -> list[Subnet]:
        """Subnets whose accuracies are known, with statistics that are about to change."""
        return [subnet for subnet in self.subnets if "validation" in self.supernet.metadata.get("subnets", {}).get(subnet, {})]

    def task(self) -> tasks.Task | None:
        """What those accuracies have to be measured on again; raises Unknown or BadFile for a task that is not there."""
        return load_task(self.supernet, own_task(self.supernet)) if self.rated else None


def finished(calibration: Calibration) -> dict[Subnet, Statistics]:
    """What an interrupted run of the same kept; raises BadFile when the file there is of something else."""
    kept = part.load(calibration.path, calibration.identity)
    return {subnet: own for subnet, own in kept.items() if subnet in calibration.subnets}


def measure(calibration: Calibration, earlier: Mapping[Subnet, Statistics], progress: Progress = silent) -> dict[Subnet, Statistics]:
    """The statistics of all the subnets; those that are not among `earlier` are kept in the file as soon as they are known."""
    found, todo = dict(earlier), [subnet for subnet in calibration.subnets if subnet not in earlier]
    supernet = calibration.supernet.to(calibration.device)
    for subnet in todo:
        with _room(calibration):
            own = calibrate(supernet.plan(subnet), supernet.weights, _told(calibration, len(found), subnet, progress))
        found[subnet] = Statistics(own.mean.cpu(), own.variance.cpu())
        part.add(calibration.path, calibration.identity, subnet, found[subnet])
    return found


@contextmanager
def _room(calibration: Calibration) -> Iterator[None]:
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):  # PyTorch's words on a CPU
            raise
        images, device = calibration.images.batch, calibration.device
        raise BadOption(f"{images} images at a time do not fit into the memory of {device}", hint="take a smaller --batch") from error


def _told(calibration: Calibration, before: int, subnet: Subnet, progress: Progress) -> Iterator[Tensor]:
    steps = calibration.images.steps
    for step, batch in enumerate(calibration.images.batches(calibration.device), 1):
        yield batch
        progress(before * steps + step, len(calibration.subnets) * steps, subnet)


def calibrated(calibration: Calibration, found: Mapping[Subnet, Statistics]) -> SuperNet:
    """The SuperNet with the new statistics, and in its metadata where they come from."""
    old = calibration.supernet
    statistics = {**old.statistics, **found}
    ordered = {subnet: statistics[subnet] for subnet in sorted(statistics, key=old.space.order)}
    metadata = {**old.metadata, "statistics": _provenance(calibration)}
    return replace(old, statistics=ordered, metadata=metadata, _programs={})


def _provenance(calibration: Calibration) -> dict[str, Any]:
    images, before = calibration.images, calibration.supernet
    about = {"data": images.data, "images": images.count, "batch": images.batch, "seed": images.seed}
    replaced = set(before.statistics) <= set(calibration.subnets)
    earlier = [] if replaced or "statistics" not in before.metadata else [before.metadata["statistics"]]
    # a run that leaves statistics of an earlier one in place says so
    return {**about, "created": provenance.created(), "subnets": len(calibration.subnets), **({"earlier": earlier} if earlier else {})}


def rated(supernet: SuperNet, subnets: list[Subnet], task: tasks.Task, progress: Progress = silent) -> SuperNet:
    """The SuperNet with accuracies of some subnets measured anew, and the front and its spread that follow."""
    validation, test = ((torch.from_numpy(split.x), torch.from_numpy(split.y)) for split in (task.validation, task.test))
    rows, answers = dict(supernet.metadata["subnets"]), {}
    for done, subnet in enumerate(subnets, 1):
        program = supernet.program(subnet)
        answers[subnet] = correct(program, *test)
        rows[subnet] = {**rows[subnet], "validation": float(correct(program, *validation).mean()), "test": float(answers[subnet].mean())}
        progress(done, len(subnets), subnet)
    known = {subnet: row for subnet, row in rows.items() if "validation" in row}
    best = front({subnet: int(row["macs"]) for subnet, row in known.items()}, {subnet: row["validation"] for subnet, row in known.items()})
    span = spread([answers[subnet] if subnet in answers else correct(supernet.program(subnet), *test) for subnet in best])
    figures = {"accuracy": span.accuracy, "standard_error": span.standard_error, "images": len(task.test.y)}
    return replace(supernet, metadata={**supernet.metadata, "subnets": rows, "front": list(best), "spread": figures})
