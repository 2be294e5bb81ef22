"""Checks an exported model: that it is valid ONNX, and that ONNX Runtime answers as torch does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from superserve_cli.errors import SuperserveError
from superserve_cli.supernet.layers import Embed
from superserve_cli.supernet.onnx.described import Control, Described
from superserve_cli.supernet.supernet import SuperNet
from superserve_cli.supernet.vocabulary import vocabulary

TOLERANCE: Final = 1e-4
"""How much outputs may differ from torch's, as a share of the largest output."""
SUBNETS: Final = 40
"""How many subnets of a whole SuperNet are compared: the smallest, the largest and others evenly between."""
BATCH: Final = 2
ERRORS_ONLY: Final = 3


def opened(
    path: Path, providers: Sequence[str | tuple[str, dict[str, Any]]] = ("CPUExecutionProvider",), threads: int = 1
) -> onnxruntime.InferenceSession:
    """A model in ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=list(providers))


def feed(described: Described, control: Control, x: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The inputs that make a model answer a batch (n, *shape) with one of its subnets."""
    if described.form == "subnet":
        return {"input": x}
    entries = {"depth": control.depth, "width": control.width, "subnet": control.row}
    return {"input": x, **{name: np.asarray(value, np.int64) for name, value in entries.items()}}


def difference(net: SuperNet, path: Path, described: Described) -> float:
    """The largest relative difference between a model's outputs and torch's, over random inputs of up to 40 subnets.

    Raises SuperserveError when it is more than 1e-4.
    """
    session = opened(path)
    found = 0.0
    for control in _spread(described.subnets):
        x = inputs(net, np.random.default_rng(control.row))
        (answer,) = session.run(None, feed(described, control, x))
        apart = _relative(answer, torch_outputs(net, control.id, x))
        if not apart <= TOLERANCE:
            raise SuperserveError(
                f"the ONNX model of {control.id} differs from torch by {apart:.1e} of the largest output, so it is not kept",
                hint="another --opset may help; --no-verify keeps it",
            )
        found = max(found, apart)
    return found


def check(path: Path) -> None:
    """Raises onnx.checker.ValidationError for a model that is not valid."""
    onnx.checker.check_model(path, full_check=True)


def inputs(net: SuperNet, rng: np.random.Generator, batch: int = BATCH) -> NDArray[Any]:
    """Random inputs (batch, *shape); of words, the last of each sequence but the first are padding."""
    shape = (batch, *net.architecture.shape)
    if net.architecture.dtype == "float32":
        return rng.standard_normal(shape).astype(np.float32)
    words: NDArray[Any] = rng.integers(0, vocabulary(net.plan(net.space.largest))[0], shape)
    if words.ndim == 2:
        return _padded(words, net)
    words[:, 0] = _padded(words[:, 0], net)
    words[:, 1] = rng.integers(0, vocabulary(net.plan(net.space.largest))[1], words[:, 1].shape)
    return words


def _padded(words: NDArray[Any], net: SuperNet) -> NDArray[Any]:
    """The words (n, length), the last ones of each sequence but the first made padding, where there is such a word."""
    embed = next(layer for layer in net.plan(net.space.largest) if isinstance(layer, Embed))
    if embed.padding not in range(embed.words.shape[0]):
        return words
    found: NDArray[Any] = np.where(words == embed.padding, (embed.padding + 1) % embed.words.shape[0], words)
    for i, sequence in enumerate(found[1:], 1):
        sequence[len(sequence) - i * len(sequence) // (len(words) + 1) :] = embed.padding
    return found


def torch_outputs(net: SuperNet, subnet: str, x: NDArray[Any]) -> NDArray[Any]:
    """What torch answers."""
    with torch.inference_mode():
        return net.forward(torch.from_numpy(x), subnet).numpy()


def _relative(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.abs(one - other).max() / max(np.abs(other).max(), np.finfo(np.float32).tiny))


def _spread(controls: Sequence[Control]) -> list[Control]:
    """Up to 40 of them, the cheapest and the dearest included."""
    ordered = sorted(controls, key=lambda control: control.macs)
    count = min(SUBNETS, len(ordered))
    return [ordered[round(i * (len(ordered) - 1) / max(1, count - 1))] for i in range(count)]
