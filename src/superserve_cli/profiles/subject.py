"""One measurement from beginning to end: what is measured, the rounds so far, and the profile that comes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from superserve_cli.core.nouns import Progress, Subnet, Worker, silent
from superserve_cli.profiles import files, part
from superserve_cli.profiles.accuracy import MEASURED, Judge
from superserve_cli.profiles.measure import Samples, disagreement, measure
from superserve_cli.profiles.prediction import compare
from superserve_cli.profiles.profile import Profile
from superserve_cli.profiles.rows import plan_ns, rows


@dataclass(frozen=True)
class Subject:
    """What is measured: some subnets of a SuperNet, at some batch sizes, on a worker, with inputs `x` (n, ...).

    `judge` says how accurate the subnets are, `cost` gives multiply-accumulates and parameters of a subnet; `predicted` is what a
    search foretold of them, as in supernet.json.
    """

    supernet: str
    supernet_hash: str
    subnets: tuple[Subnet, ...]
    batch_sizes: tuple[int, ...]
    worker: Worker
    x: NDArray[Any]
    judge: Judge
    seed: int
    cost: Callable[[Subnet], tuple[int | None, int | None]]
    predicted: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def hardware(self) -> Mapping[str, Any]:
        """Where the latencies come from."""
        return self.worker.describe()

    @property
    def identity(self) -> dict[str, Any]:
        """What two halves of an interrupted measurement must have in common."""
        return {
            "SuperNet": self.supernet_hash,
            "subnets": list(self.subnets),
            "batch sizes": list(self.batch_sizes),
            "seed": self.seed,
            "hardware": dict(self.hardware),
        }


def resumed(subject: Subject, out: Path) -> Samples | None:
    """The rounds that an interrupted run of the same left beside `out`; raises BadFile when those there are of something else."""
    path = part.path_of(out)
    cells = (len(subject.subnets), len(subject.batch_sizes))
    return part.load(path, subject.identity, cells) if path.exists() else None


def sample(subject: Subject, rounds: int, out: Path, earlier: Samples | None = None, progress: Progress = silent) -> Samples:
    """All the rounds, those so far kept beside `out` after each."""
    path, identity = part.path_of(out), subject.identity
    inputs = np.resize(subject.x, (subject.batch_sizes[-1], *subject.x.shape[1:]))
    return measure(
        subject.worker,
        subject.subnets,
        subject.batch_sizes,
        inputs,
        rounds,
        seed=subject.seed,
        earlier=earlier,
        keep=lambda samples: part.save(path, identity, samples),
        progress=progress,
    )


def write(subject: Subject, samples: Samples, out: Path, about: Mapping[str, Any], progress: Progress = silent) -> Profile:
    """Have the accuracies judged, write the profile with `about` in its metadata, and forget the rounds kept beside it."""
    found = subject.judge.of(subject.worker, subject.subnets, progress)
    profile = files.save(out, _table(subject, samples, found), {**_metadata(subject, samples, found), **about})
    part.path_of(out).unlink(missing_ok=True)
    return profile


def _table(subject: Subject, samples: Samples, found: list[float]) -> pa.Table:
    macs, params = zip(*map(subject.cost, subject.subnets), strict=True)
    shape = "x".join(map(str, subject.x.shape[1:]))
    return rows(samples, subject.subnets, subject.batch_sizes, found, macs, params, shape, subject.judge.kind)


def _metadata(subject: Subject, samples: Samples, found: list[float]) -> dict[str, Any]:
    halves = disagreement(samples)
    judged = found if subject.judge.kind == MEASURED else None
    prediction = compare(subject.predicted, subject.subnets, subject.batch_sizes, samples, judged)
    return {
        **subject.hardware,
        "supernet": subject.supernet,
        "supernet_hash": subject.supernet_hash,
        "dataset": subject.judge.about,
        "accuracy_kind": subject.judge.kind,
        "seed": subject.seed,
        "rounds": len(samples),
        "plan": plan_ns(samples)[1],
        "disagreement": None if halves is None else halves._asdict(),
        "prediction": None if prediction is None else prediction._asdict(),
    }
