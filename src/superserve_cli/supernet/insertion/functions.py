"""Functions and tensor methods in the vocabulary of plans, as traced modules call them."""

import inspect
import operator
from collections.abc import Callable
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from torch import Tensor

from superserve_cli.supernet.insertion.modules import adaptive_pool, avg_pool, flatten, max_pool, unsupported
from superserve_cli.supernet.layers import Activation, Flatten, GlobalMean, Kind, Plan, Scale, TokenPool

Read = Callable[..., Plan]
"""Takes where the call stands, the tensor (as the example has it) and the other arguments."""
JOINS: Final[dict[Any, str]] = {
    **dict.fromkeys((operator.add, operator.iadd, torch.add, "add", "add_"), "add"),
    **dict.fromkeys((operator.mul, operator.imul, torch.mul, torch.multiply, "mul", "mul_"), "mul"),
}
"""Functions of two tensors."""
DIVISIONS: Final = (operator.truediv, operator.itruediv, torch.div, "div", "div_")


def call(target: Any, where: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Plan:
    """What a call computes; raises BadOption for a function that is not supported, or called in a way that is not."""
    read = CALLS.get(target)
    name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
    if read is None:
        raise unsupported(where, f"{name} is not supported", f"supported functions are {SUPPORTED}")
    try:
        inspect.signature(read).bind(where, *args, **kwargs)
    except TypeError as error:
        raise unsupported(where, f"{name} is called in a way that is not supported: {error}") from error
    return read(where, *args, **kwargs)


def _activation(kind: Kind) -> Read:
    def read(_: str, x: Tensor, inplace: bool = False) -> Plan:
        return (Activation(kind),)

    return read


def _gelu(where: str, x: Tensor, approximate: str = "none") -> Plan:
    if approximate != "none":
        raise unsupported(where, f"gelu with approximate={approximate!r} is not supported", "only the exact gelu is")
    return (Activation("gelu"),)


def _dropout(where: str, x: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Plan:
    if training and p:
        raise unsupported(where, "dropout is on even in evaluation mode", "pass training=self.training")
    return ()


def _max_pool(where: str, x: Tensor, *args: Any, return_indices: bool = False, **kwargs: Any) -> Plan:
    if return_indices:
        raise unsupported(where, "max pooling with return_indices is not supported")
    return max_pool(where, *args, **kwargs)


def _avg_pool(
    where: str,
    x: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,  # nothing is padded
    divisor_override: Any = None,
) -> Plan:
    return avg_pool(where, kernel_size, stride, padding, ceil_mode, divisor_override)


def _adaptive_pool(where: str, x: Tensor, output_size: Any) -> Plan:
    return adaptive_pool(where, output_size)


def _flatten(where: str, x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Plan:
    return flatten(where, tuple(x.shape), start_dim, end_dim)


def _view(where: str, x: Tensor, *sizes: Any) -> Plan:
    shape = tuple(x.reshape(*sizes).shape)
    if shape == x.shape:
        return ()
    if shape != tuple(x.flatten(1).shape):
        raise unsupported(
            where,
            f"a view of {list(x.shape)} as {list(shape)} is not supported",
            "x.view(x.size(0), -1) is, and mean((2, 3), keepdim=True)",
        )
    return (Flatten(),)


def _mean(where: str, x: Tensor, dim: Any = None, keepdim: bool = False) -> Plan:
    dims = sorted(d % x.ndim for d in ((dim,) if isinstance(dim, int) else dim or range(x.ndim)))
    if x.ndim == 4 and dims == [2, 3]:
        return (GlobalMean(keep=bool(keepdim)),)
    if x.ndim == 3 and dims == [1] and not keepdim:
        return (TokenPool("mean"),)
    raise unsupported(
        where, f"the mean of {x.ndim} dimensions over {dims} is not supported", "over (2, 3) of images and 1 of sequences it is"
    )


def _item(where: str, x: Tensor, index: Any) -> Plan:
    everything = slice(None)
    places = (0, -1, x.shape[1] - 1) if x.ndim == 3 else ()
    for place in places:
        if index in ((everything, place), (everything, place, everything)):
            return (TokenPool("first" if place == 0 else "last"),)
    raise unsupported(where, f"the index {index} is not supported", "x[:, 0] and x[:, -1] of sequences are")


def _contiguous(_: str, x: Tensor) -> Plan:
    return ()


def _scaled(_: str, one: Tensor | float, other: Tensor | float) -> Plan:
    return (Scale(float(one if isinstance(other, Tensor) else other)),)


def _divided(where: str, x: Tensor | float, by: Tensor | float) -> Plan:
    if isinstance(by, Tensor):
        raise unsupported(where, "a division by a tensor is not supported")
    return (Scale(1 / by),)


ACTIVATIONS: Final[dict[Kind, tuple[Any, ...]]] = {
    "relu": (torch.relu, torch.relu_, F.relu, "relu", "relu_"),
    "relu6": (F.relu6,),
    "hard_swish": (F.hardswish,),
    "hard_sigmoid": (F.hardsigmoid,),
    "sigmoid": (torch.sigmoid, F.sigmoid, "sigmoid", "sigmoid_"),
    "silu": (F.silu,),
    "tanh": (torch.tanh, F.tanh, "tanh", "tanh_"),
}
CALLS: Final[dict[Any, Read]] = {
    **{target: _activation(kind) for kind, targets in ACTIVATIONS.items() for target in targets},
    F.gelu: _gelu,
    **dict.fromkeys((F.dropout, F.dropout2d, torch.dropout), _dropout),
    F.max_pool2d: _max_pool,
    torch.max_pool2d: _max_pool,
    F.avg_pool2d: _avg_pool,
    F.adaptive_avg_pool2d: _adaptive_pool,
    **dict.fromkeys((torch.flatten, "flatten"), _flatten),
    **dict.fromkeys(("view", "reshape", torch.reshape), _view),
    **dict.fromkeys((torch.mean, "mean"), _mean),
    operator.getitem: _item,
    "contiguous": _contiguous,
    **dict.fromkeys((target for target, kind in JOINS.items() if kind == "mul"), _scaled),
    **dict.fromkeys(DIVISIONS, _divided),
}
"""What each function or method of one tensor computes."""
SUPPORTED: Final = "add, mul, flatten, view, mean, relu, relu6, hardswish, hardsigmoid, sigmoid, silu, gelu, tanh, pooling and dropout"
