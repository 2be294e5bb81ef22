"""What a path holds, on a device: a SuperNet's folder with PyTorch, exported ONNX files with ONNX Runtime."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from superserve_cli import supernet
from superserve_cli.core.nouns import Subnet, Worker
from superserve_cli.errors import BadFile, BadOption, Unknown
from superserve_cli.serving.model import DATATYPES, Model
from superserve_cli.serving.workers.accelerators import Cuda
from superserve_cli.serving.workers.graph_worker import GraphWorker
from superserve_cli.serving.workers.onnx_worker import SUFFIX, OnnxWorker
from superserve_cli.serving.workers.torch_worker import PACK_MB, TorchWorker
from superserve_cli.supernet import SuperNet
from superserve_cli.supernet.asked import front
from superserve_cli.supernet.files import DESCRIPTION
from superserve_cli.supernet.vocabulary import vocabulary

ENUMERABLE: Final = 1024
"""The largest space of which `all` subnets can be meant without anybody having named them."""


@dataclass(frozen=True)
class Resident:
    """A worker, and what is known of the SuperNet that it holds.

    `subnets` are those that are known by name, `front` the Pareto front of them (cheapest first; empty where nobody has determined
    it), `check` raises what is wrong with an id that cannot run, `largest` is the most expensive one that can. `accuracies` were
    measured by whoever made it; `predicted` is what a search foretold.
    """

    worker: Worker
    model: Model
    subnets: tuple[Subnet, ...]
    front: tuple[Subnet, ...]
    largest: Subnet
    check: Callable[[Subnet], None]
    cost: Callable[[Subnet], tuple[int, int]]
    accuracies: Mapping[Subnet, float]
    predicted: Mapping[str, Any]


def hold(
    path: Path | None,
    device: str = "cpu",
    threads: int | None = None,
    dtype: str | None = None,
    pack_mb: int | None = None,
    pixels: bool = False,
    eager: bool = False,
) -> Resident:
    """What a path holds (None: the shipped SuperNet), on a worker of its own.

    On a GPU it computes in bfloat16 unless `dtype` says otherwise, and replays graphs unless `eager`. `pixels`: images come as
    uint8. Raises BadFile for anything else than a SuperNet's folder, an .onnx file or a folder of them, and BadOption for a dtype,
    room for packed weights, pixels or eagerness with ONNX files, which are computed as they were exported.
    """
    if path is None or (path / DESCRIPTION).exists():
        room = PACK_MB if pack_mb is None else pack_mb
        asked = dtype or ("float32" if device == "cpu" else "bfloat16")
        return of_supernet(TorchWorker(supernet.load(path), device, threads, asked, room, pixels), eager)
    if not path.exists():
        raise BadFile(f"there is no {path}", hint="name a SuperNet's folder, an .onnx file, or a folder of them")
    if path.suffix != SUFFIX and not (path.is_dir() and any(path.glob(f"*{SUFFIX}"))):
        raise BadFile(f"{path} is no SuperNet", hint="`superserve build --out DIR` writes one, `superserve export` writes ONNX files")
    for option, value in (("--dtype", dtype), ("--pack-mb", pack_mb), ("--uint8", pixels or None), ("--eager", eager or None)):
        if value is not None:
            raise BadOption(f"{option} does not go with ONNX files: they are computed as they were exported", hint=f"leave {option} out")
    return _of_onnx(OnnxWorker(path, device, threads))


def make(path: str | None, **options: Any) -> tuple[Worker, Model]:
    """A worker that holds what a path names, and what a router needs to know of it; `options` are those of `hold`."""
    held = hold(None if path is None else Path(path), **options)
    return held.worker, held.model


def of_supernet(worker: TorchWorker, eager: bool = False) -> Resident:
    """The SuperNet that a torch worker holds; on a GPU it replays graphs, unless `eager`."""
    held = worker.held
    architecture, task, known = held.architecture, held.metadata.get("task") or {}, held.metadata.get("subnets") or {}
    subnets = _subnets(held)
    runnable = (held.space.largest,) if held.runs(held.space.largest) else subnets
    return Resident(
        worker=worker if eager or worker.device.type == "cpu" else GraphWorker(worker, Cuda(worker.device)),
        model=Model(
            name=held.name,
            hash=held.hash,
            shape=tuple(architecture.shape),
            classes=architecture.classes,
            task=None if worker.pixels else task.get("name"),  # tasks yield numbers around 0, no pixels
            seed=task.get("seed"),
            datatype=DATATYPES[worker.input_dtype.name],
            vocabulary=vocabulary(held.plan(held.space.largest)),
        ),
        subnets=subnets,
        front=front(held),
        largest=max(runnable, key=held.macs, default=""),
        check=lambda subnet: _runs(held, subnet),
        cost=lambda subnet: (held.macs(subnet), held.params(subnet)),
        accuracies={s: a for s, row in known.items() if (a := row.get("test", row.get("validation"))) is not None},
        predicted=held.metadata.get("predicted") or {},
    )


def _subnets(held: SuperNet) -> tuple[Subnet, ...]:
    """Those with statistics, or where none needs any: the front, or all of a small space."""
    if held.subnets or held.normalized or held.space.size > ENUMERABLE:
        return held.subnets
    return tuple(held.space.enumerate())


def _runs(held: SuperNet, subnet: Subnet) -> None:
    held.space.validate(subnet)
    if not held.runs(subnet):
        raise BadOption(f"subnet {subnet} is not calibrated", hint="`superserve calibrate` adds its statistics")


def _of_onnx(worker: OnnxWorker) -> Resident:
    described, controls = worker.described, {subnet: held.control for subnet, held in worker.subnets.items()}
    ordered = tuple(sorted(controls, key=lambda subnet: (controls[subnet].macs, subnet)))

    def check(subnet: Subnet) -> None:
        if subnet not in controls:
            raise Unknown("subnet", subnet, controls)

    return Resident(
        worker=worker,
        model=Model(
            name=described.name,
            hash=described.hash,
            shape=described.shape,
            classes=described.classes,
            task=described.task.get("name"),
            seed=described.task.get("seed"),
            datatype=DATATYPES[described.dtype],
            vocabulary=described.vocabulary,
        ),
        subnets=ordered,
        front=(),
        largest=ordered[-1],
        check=check,
        cost=lambda subnet: (controls[subnet].macs, controls[subnet].params),
        accuracies={subnet: c.accuracy for subnet, c in controls.items() if c.accuracy is not None},
        predicted={},
    )
