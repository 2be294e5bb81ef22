"""Automatic insertion: a module of PyTorch's becomes a SuperNet (SuperServe, algorithm 1), and its source stays as it is.

Its forward pass is traced, every block on its own; convolutions, attention and linear layers become WeightSlices, BatchNorms become
SubnetNorms, and the blocks of a stage a LayerSelect. The result is a plan over the module's own weights, by their own names.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import reduce
from typing import Final

import torch
from torch import Tensor, nn

from superserve_cli.errors import BadOption
from superserve_cli.supernet import plan as plans
from superserve_cli.supernet.attention import padding_of
from superserve_cli.supernet.families import parameters
from superserve_cli.supernet.insertion import reading, stages
from superserve_cli.supernet.insertion.elastic import Elastic
from superserve_cli.supernet.insertion.graph import FAILURES
from superserve_cli.supernet.insertion.module import ModuleNet
from superserve_cli.supernet.insertion.narrow import residual
from superserve_cli.supernet.insertion.reading import Step
from superserve_cli.supernet.insertion.stages import Stages
from superserve_cli.supernet.layers import Attention, Embed, Join, Layer, LayerSelect, Plan, TokenPool
from superserve_cli.supernet.operations import run
from superserve_cli.supernet.program import bind, by_statistics, views
from superserve_cli.supernet.supernet import NO_STATISTICS, Statistics, SuperNet, channels_last

FAMILY: Final = "module"
TOLERANCE: Final = 1e-5
"""How far the outputs of the full subnet may be from the module's own, relative to the largest of them."""
DTYPES: Final = {torch.float32: "float32", torch.int64: "int64"}


def subnetact(model: nn.Module, elastic: Elastic, example: Tensor, name: str | None = None) -> SuperNet:
    """Make a module a SuperNet: the full subnet is the module itself, the smaller ones share its weights. The module is not changed.

    `example` is a batch of inputs, float32 images (n, channels, height, width) or int64 words (n, length). The largest subnet has the
    module's own SubnetNorm statistics; others have to be calibrated where there is BatchNorm. Raises BadOption, which names the part
    of the module, for what has no counterpart in a SuperNet, and when the full subnet does not compute what the module computes.
    SuperServe, appendix A.1.
    """
    expected = _called(model, example)
    declared = elastic.stages is not None
    found = stages.declared(model, elastic.stages or ()) if declared else stages.found(model)
    blocks = {model.get_submodule(path): path for paths in found.values() for path in paths}
    steps = reading.read(model, "", blocks, example)
    plan, names = _staged(steps, found, declared)
    plan = _padded(plan, steps)
    _used_once(model, plan)
    architecture = ModuleNet(tuple(example.shape[1:]), expected.shape[1], DTYPES[example.dtype], plan, replace(elastic, stages=names))
    supernet = SuperNet(FAMILY, architecture, _weights(model, architecture), {}, {"name": name or type(model).__name__.lower()})
    if supernet.normalized:
        supernet = replace(supernet, statistics={supernet.space.largest: _statistics(model, plan)}, _programs={})
    _compare(supernet, steps, example, expected)
    return supernet


def _called(model: nn.Module, example: Tensor) -> Tensor:
    """What the module itself makes of the example."""
    if training := [path or "the module" for path, each in model.named_modules() if each.training]:
        raise BadOption(
            f"{training[0]} is in training mode", hint="call model.eval() first: the statistics of BatchNorm are then the model's own"
        )
    if strange := [path for path, each in model.named_parameters() if each.dtype != torch.float32 or each.device.type != "cpu"]:
        raise BadOption(f"{strange[0]} is not a float32 tensor on the CPU", hint="call model.float().cpu() first")
    if not isinstance(example, Tensor) or example.dtype not in DTYPES or not len(example):
        raise BadOption("the example is no batch of float32 or int64 inputs", hint="give a tensor such as torch.randn(2, 3, 224, 224)")
    try:
        with torch.no_grad():
            yielded = model(example.clone())
    except FAILURES as error:
        raise BadOption(
            f"the model does not take the example {list(example.shape)}: {str(error).partition(chr(10))[0]}",
            hint="give a batch that it takes",
        ) from error
    if not isinstance(yielded, Tensor) or yielded.ndim != 2:
        what = f"a tensor {list(yielded.shape)}" if isinstance(yielded, Tensor) else f"a {type(yielded).__name__}"
        raise BadOption(f"the model yields {what}", hint="a SuperNet yields one row of outputs (n, classes) per input")
    return yielded


def _staged(steps: tuple[Step, ...], found: Stages, declared: bool) -> tuple[Plan, tuple[str, ...]]:
    """The plan with a LayerSelect for each stage, and their names in order. A stage that was not declared has to be of residual blocks."""
    firsts = {paths[0]: (name, paths) for name, paths in found.items()}
    plan: list[Layer] = []
    names: list[str] = []
    place = 0
    while place < len(steps):
        name, paths = firsts.get(steps[place].name, ("", ()))
        here = steps[place : place + len(paths)]
        if paths and tuple(step.name for step in here) == paths and (declared or residual(step.layers for step in here)):
            plan.append(LayerSelect(tuple(step.layers for step in here), tuple(range(len(here)))))
            names.append(name)
            place += len(paths)
        else:
            plan += steps[place].layers
            place += 1
    if declared and (missing := found.keys() - set(names)):
        raise BadOption(
            f"the blocks of stage {min(missing)} do not run one after the other", hint="a stage runs all its blocks, outside of any branch"
        )
    if not names:
        raise BadOption(
            "no stages were found", hint="declare them: Elastic(stages=('layer1', ...)) names Sequentials or ModuleLists of blocks"
        )
    return tuple(plan), tuple(names)


def _padded(plan: Plan, steps: tuple[Step, ...]) -> Plan:
    """The plan with the word that all attention masks out; refuses masks that not all of it has."""
    paddings = {step.padding for step in _unfolded(steps) if any(isinstance(layer, Attention) for layer in plans.layers(step.layers))}
    if paddings <= {None}:
        return plan
    if len(paddings) > 1:
        raise BadOption("not all attention masks out the same words", hint="give every layer the same src_key_padding_mask, or none")
    if any(isinstance(layer, TokenPool) and layer.which != "first" for layer in plan):
        raise BadOption("the words are pooled with their padding", hint="beside a mask of padding, x[:, 0] is supported")
    (padding,) = (each for each in paddings if each is not None)
    return tuple(replace(layer, padding=padding) if isinstance(layer, Embed) else layer for layer in plan)


def _unfolded(steps: tuple[Step, ...]) -> Iterator[Step]:
    """The steps that have none inside, but in branches."""
    for step in steps:
        yield from _unfolded(step.inner) if step.inner else (step,)


def _used_once(model: nn.Module, plan: Plan) -> None:
    """Refuses modules that are called twice, and parameters with two names: their slices would not be independent."""
    if twice := [used for used, count in Counter(plans.slices(plan)).items() if count > 1]:
        raise BadOption(f"{twice[0].parameter.rpartition('.')[0]} is used twice", hint="every module with weights may be called once")
    names = defaultdict(set)
    for path, tensor in model.named_parameters(remove_duplicate=False):
        names[tensor.data_ptr()].add(path)
    used = {each.parameter for each in plans.slices(plan)}
    if tied := [sorted(paths & used) for paths in names.values() if len(paths & used) > 1]:
        raise BadOption(f"{' and '.join(tied[0])} are one parameter", hint="give each module weights of its own")


def _weights(model: nn.Module, architecture: ModuleNet) -> Mapping[str, Tensor]:
    """Copies of what the plan uses, by the model's own names; of a table of places only the rows up to the last one used."""
    named = {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers(remove_duplicate=False))}
    cuts = {name: tuple(map(slice, shape)) for name, shape in parameters(architecture).items()}
    if computed := [name for name in cuts if name not in named]:
        raise BadOption(
            f"{computed[0]} is no parameter but computed from others", hint="take off what computes it: remove_weight_norm, say"
        )
    return channels_last({name: named[name].detach()[cut].clone() for name, cut in cuts.items()})


def _statistics(model: nn.Module, plan: Plan) -> Statistics:
    """The module's own running statistics."""
    modules = [model.get_submodule(norm.scale.parameter.rpartition(".")[0]) for norm in plans.norms(plan)]
    return Statistics(*(torch.cat([module.get_buffer(part) for module in modules]) for part in ("running_mean", "running_var")))


def _compare(supernet: SuperNet, steps: tuple[Step, ...], example: Tensor, expected: Tensor) -> None:
    """Raises BadOption, with the first place that differs, unless the full subnet computes what the module does."""
    with torch.no_grad():
        found = supernet.forward(example.clone(), supernet.space.largest)
        if _near(found, expected):
            return
        where = _first_difference(supernet, steps, example) or "the output"
    by = (found - expected).abs().max().item() if found.shape == expected.shape else float("nan")
    raise BadOption(
        f"the full subnet does not compute what the model does: they differ first at {where}, and in the output by {by:.3g}",
        hint="not seen are activations in place before a shortcut (use inplace=False), hooks, and changed forwards of PyTorch's modules",
    )


def _near(found: Tensor, expected: Tensor) -> bool:
    """Equal within the tolerance; where one has NaN or infinity, so has the other."""
    if found.shape != expected.shape:
        return False
    return torch.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * _largest(expected), equal_nan=True)


def _largest(x: Tensor) -> float:
    finite = x[x.isfinite()].abs()
    return finite.max().item() if len(finite) else 0.0


def _first_difference(supernet: SuperNet, steps: tuple[Step, ...], x: Tensor) -> str | None:
    """The name of the first step whose output is not the module's own."""
    plan, take = supernet.plan(supernet.space.largest), views(supernet.weights)
    normalize = by_statistics(plan, take, *supernet.statistics.get(supernet.space.largest, NO_STATISTICS))
    words = next((layer for layer in plan if isinstance(layer, Embed)), None)
    padding = None if words is None else padding_of(x, words.padding)

    def follow(steps: tuple[Step, ...], x: Tensor) -> tuple[str | None, Tensor]:
        """The name, and what the steps make of x."""
        for step in steps:
            where, x = done(step, x)
            if where or not _near(x, step.value):
                return where or step.name, x
        return None, x

    def done(step: Step, x: Tensor) -> tuple[str | None, Tensor]:
        if step.inner:
            return follow(step.inner, x)
        if not step.branches:
            return None, run(bind(step.layers, take, normalize).operations, x.clone(), padding)
        outputs = []
        for branch in step.branches:
            where, y = follow(branch, x)
            if where:
                return where, y
            outputs.append(y)
        join = step.layers[0]
        multiplies = isinstance(join, Join) and join.kind == "mul"
        return None, reduce(torch.mul if multiplies else torch.add, outputs)

    return follow(steps, x)[0]
