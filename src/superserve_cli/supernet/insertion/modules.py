"""PyTorch's own modules in the vocabulary of plans."""

from collections.abc import Callable
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from torch import Tensor, nn

from superserve_cli.errors import BadOption
from superserve_cli.supernet.layers import (
    RELU,
    Activation,
    Attention,
    AvgPool,
    Conv,
    Embed,
    Flatten,
    GlobalMean,
    Join,
    LayerNorm,
    Linear,
    MaxPool,
    Norm,
    Plan,
    RmsNorm,
    WeightSlice,
)

NEVER: Final = -1
"""A word that does not occur: nothing is masked out, as in modules that attend to every word."""


def unsupported(where: str, what: str, hint: str = "") -> BadOption:
    """The error for a part of a module that has no counterpart in a SuperNet."""
    return BadOption(f"{where}: {what}", hint=hint or "supported is what bottleneck CNNs and transformer encoders are made of")


def whole(path: str, name: str, tensor: Tensor) -> WeightSlice:
    """All of a parameter of the module at a path."""
    return WeightSlice.prefix(f"{path}.{name}" if path else name, *tensor.shape)


def optional(path: str, name: str, tensor: Tensor | None) -> WeightSlice | None:
    """All of a parameter, where there is one."""
    return None if tensor is None else whole(path, name, tensor)


def layers(module: nn.Module, path: str) -> Plan:
    """What a module of PyTorch's computes; raises BadOption for one that is not supported, or set in a way that is not."""
    if (read := MODULES.get(type(module))) is None:
        raise unsupported(path, f"{type(module).__name__} is not supported", f"supported modules are {SUPPORTED}")
    found: Plan = read(module, path)
    return found


def square(where: str, what: str, value: Any) -> int:
    """The number that stands for height and width alike; refuses two different ones."""
    pair = tuple(value) if isinstance(value, tuple | list) else (value, value)
    if len(set(pair)) != 1 or not isinstance(pair[0], int):
        raise unsupported(where, f"{what} {value!r} is not supported", "height and width have the same, as a number")
    return pair[0]


def _plain(where: str, module: nn.Module, **settings: Any) -> None:
    """Refuses a module whose settings differ from the only ones that are supported."""
    for name, value in settings.items():
        if (found := getattr(module, name)) != value:
            raise unsupported(where, f"{type(module).__name__} with {name}={found!r} is not supported", f"only {name}={value!r} is")


def _conv(m: nn.Conv2d, path: str) -> Plan:
    _plain(path, m, padding_mode="zeros", dilation=(1, 1))
    kernel, stride, padding = (square(path, name, getattr(m, name)) for name in ("kernel_size", "stride", "padding"))
    if m.groups != 1 and not m.groups == m.in_channels == m.out_channels:
        raise unsupported(
            path, f"Conv2d with groups={m.groups} is not supported", "groups is 1, or the number of channels that come in and go out"
        )
    weight, bias = whole(path, "weight", m.weight), optional(path, "bias", m.bias)
    return (Conv(weight, stride, bias, m.groups, None if padding == kernel // 2 else padding),)


def _norm(m: nn.BatchNorm2d, path: str) -> Plan:
    _plain(path, m, affine=True, track_running_stats=True)
    return (Norm(whole(path, "weight", m.weight), whole(path, "bias", m.bias), m.eps),)


def _layer_norm(m: nn.LayerNorm, path: str) -> Plan:
    if len(m.normalized_shape) != 1 or not m.elementwise_affine or m.bias is None:
        raise unsupported(path, f"{m} is not supported", "only LayerNorm over the last dimension, with weight and bias, is")
    return (LayerNorm(whole(path, "weight", m.weight), whole(path, "bias", m.bias), m.eps),)


def _rms_norm(m: nn.RMSNorm, path: str) -> Plan:
    if len(m.normalized_shape) != 1 or not m.elementwise_affine:
        raise unsupported(path, f"{m} is not supported", "only RMSNorm over the last dimension, with weight, is")
    return (RmsNorm(whole(path, "weight", m.weight), torch.finfo(m.weight.dtype).eps if m.eps is None else m.eps),)


def _linear(m: nn.Linear, path: str) -> Plan:
    return (Linear(whole(path, "weight", m.weight), optional(path, "bias", m.bias)),)


def _embed(m: nn.Embedding, path: str) -> Plan:
    _plain(path, m, max_norm=None)
    return (Embed(whole(path, "weight", m.weight), padding=NEVER),)


def _gelu(m: nn.GELU, path: str) -> Plan:
    _plain(path, m, approximate="none")
    return (Activation("gelu"),)


def max_pool(where: str, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False) -> Plan:
    """What `F.max_pool2d` does with these settings."""
    if square(where, "dilation", dilation) != 1 or ceil_mode:
        raise unsupported(where, "max pooling with dilation or ceil_mode is not supported")
    size = square(where, "kernel_size", kernel_size)
    return (MaxPool(size, square(where, "stride", stride or size), square(where, "padding", padding)),)


def avg_pool(where: str, kernel_size: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False, divisor: Any = None) -> Plan:
    """What `F.avg_pool2d` does with these settings."""
    size = square(where, "kernel_size", kernel_size)
    if square(where, "stride", stride or size) != size or square(where, "padding", padding) or divisor is not None:
        raise unsupported(where, "average pooling with padding or windows that overlap is not supported", "the stride is the kernel's size")
    return (AvgPool(size, bool(ceil_mode)),)


def adaptive_pool(where: str, output_size: Any) -> Plan:
    """What `F.adaptive_avg_pool2d` does."""
    if square(where, "output_size", output_size) != 1:
        raise unsupported(where, f"adaptive pooling to {output_size} is not supported", "only to 1, the mean over height and width, is")
    return (GlobalMean(keep=True),)


def flatten(where: str, shape: tuple[int, ...], start: int, end: int) -> Plan:
    """What `torch.flatten` does with a batch of a shape."""
    if start % len(shape) != 1 or end % len(shape) != len(shape) - 1:
        raise unsupported(where, f"flatten from {start} to {end} is not supported", "flatten(1) and flatten(2).transpose(1, 2) are")
    return (Flatten(),)


def attention(m: nn.MultiheadAttention, path: str) -> Plan:
    """Self-attention; its projections are rows of one parameter."""
    _plain(path, m, batch_first=True, bias_k=None, bias_v=None, add_zero_attn=False, _qkv_same_embed_dim=True)
    width = m.embed_dim
    weight, bias = (f"{path}.{name}" if path else name for name in ("in_proj_weight", "in_proj_bias"))

    def rows(place: int) -> Linear:
        own = range(place * width, (place + 1) * width)
        return Linear(WeightSlice(weight, (own, range(width))), None if m.in_proj_bias is None else WeightSlice(bias, (own,)))

    (out,) = _linear(m.out_proj, f"{path}.out_proj" if path else "out_proj")
    assert isinstance(out, Linear)
    return (Attention(rows(0), rows(1), rows(2), out, m.num_heads, m.num_heads),)


def _transformer_layer(m: nn.TransformerEncoderLayer, path: str) -> Plan:
    def part(name: str) -> Plan:
        return layers(getattr(m, name), f"{path}.{name}" if path else name)

    attend = part("self_attn")
    feed = (*part("linear1"), *_activation(m.activation, path), *part("linear2"))
    if m.norm_first:
        return Join("add", ((*part("norm1"), *attend), ())), Join("add", ((*part("norm2"), *feed), ()))
    return Join("add", (attend, ())), *part("norm1"), Join("add", (feed, ())), *part("norm2")


def _activation(function: Any, path: str) -> Plan:
    """What the feed-forward part of a transformer layer applies: a function or a module."""
    if isinstance(function, nn.Module):
        return layers(function, path)
    named: dict[Any, Plan] = {F.relu: (RELU,), torch.relu: (RELU,), F.gelu: (Activation("gelu"),), F.silu: (Activation("silu"),)}
    if function not in named:
        raise unsupported(path, f"the activation {getattr(function, '__name__', function)} is not supported", "relu, gelu and silu are")
    return named[function]


def transformer_blocks(m: nn.TransformerEncoder) -> list[tuple[str, nn.Module]]:
    """The layers of an encoder and its norm, by their names in it."""
    return [*((f"layers.{i}", layer) for i, layer in enumerate(m.layers)), *([("norm", m.norm)] if m.norm is not None else [])]


def _flatten(m: nn.Flatten, path: str) -> Plan:
    _plain(path, m, start_dim=1, end_dim=-1)
    return (Flatten(),)


def _nothing(_: nn.Module, __: str) -> Plan:
    return ()


def _is(layer: Any) -> Callable[[nn.Module, str], Plan]:
    return lambda _, __: (layer,)


MODULES: Final[dict[type[nn.Module], Callable[..., Plan]]] = {
    nn.Conv2d: _conv,
    nn.BatchNorm2d: _norm,
    nn.LayerNorm: _layer_norm,
    nn.RMSNorm: _rms_norm,
    nn.Linear: _linear,
    nn.modules.linear.NonDynamicallyQuantizableLinear: _linear,
    nn.Embedding: _embed,
    nn.ReLU: _is(RELU),
    nn.ReLU6: _is(Activation("relu6")),
    nn.Hardswish: _is(Activation("hard_swish")),
    nn.Hardsigmoid: _is(Activation("hard_sigmoid")),
    nn.Sigmoid: _is(Activation("sigmoid")),
    nn.SiLU: _is(Activation("silu")),
    nn.GELU: _gelu,
    nn.Tanh: _is(Activation("tanh")),
    nn.MaxPool2d: lambda m, path: max_pool(path, m.kernel_size, m.stride, m.padding, m.dilation, m.ceil_mode),
    nn.AvgPool2d: lambda m, path: avg_pool(path, m.kernel_size, m.stride, m.padding, m.ceil_mode, m.divisor_override),
    nn.AdaptiveAvgPool2d: lambda m, path: adaptive_pool(path, m.output_size),
    nn.Flatten: _flatten,
    nn.Dropout: _nothing,
    nn.Dropout2d: _nothing,
    nn.Identity: _nothing,
    nn.MultiheadAttention: attention,
    nn.TransformerEncoderLayer: _transformer_layer,
}
SUPPORTED: Final = ", ".join(each.__name__ for each in MODULES if each is not nn.modules.linear.NonDynamicallyQuantizableLinear)
