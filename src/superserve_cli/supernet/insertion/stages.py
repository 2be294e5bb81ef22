"""Where the stages of a module are: declared by their paths, or found by the classes of their blocks."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from torch import nn

from superserve_cli.errors import BadOption, Unknown
from superserve_cli.supernet.insertion.graph import joined

SOME: Final = re.compile(r"(.*)\[(\d*):(\d*)\]")
Stages = dict[str, tuple[str, ...]]
"""The paths of each stage's blocks, by its own path."""


def declared(model: nn.Module, names: Sequence[str]) -> Stages:
    """The stages of these paths; raises Unknown or BadOption."""
    return {name: _blocks(model, name) for name in names}


def found(model: nn.Module) -> Stages:
    """Containers with at least two children, all of one class of the user's own or all TransformerEncoderLayer; the outermost ones.

    What lies inside a block of another one is part of that block, and no stage.
    """
    stages = dict(_found(model, ""))
    kinds = {type(model.get_submodule(block)) for blocks in stages.values() for block in blocks}
    return {name: blocks for name, blocks in stages.items() if not any(type(parent) in kinds for parent in _parents(model, name))}


def _blocks(model: nn.Module, name: str) -> tuple[str, ...]:
    some = SOME.fullmatch(name)
    path = some[1] if some else name
    modules = dict(model.named_modules())
    if path not in modules:
        raise Unknown("module", path, [each for each, module in modules.items() if each and _contains(module)])
    container = modules[path]
    if isinstance(container, nn.TransformerEncoder):
        path, container = joined(path, "layers"), container.layers
    if not _contains(container):
        raise BadOption(
            f"stage {name} is a {type(container).__name__}", hint="a stage is a Sequential, a ModuleList or a TransformerEncoder"
        )
    children = [joined(path, child) for child, _ in container.named_children()]
    if some:
        children = children[slice(int(some[2] or 0), int(some[3]) if some[3] else None)]
    if not children:
        raise BadOption(f"stage {name} has no blocks", hint=f"{path} has {len(list(container.children()))} children")
    return tuple(children)


def _contains(module: nn.Module) -> bool:
    return isinstance(module, nn.Sequential | nn.ModuleList | nn.TransformerEncoder)


def _found(module: nn.Module, path: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    children = dict(module.named_children())
    kinds = {type(child) for child in children.values()}
    if isinstance(module, nn.Sequential | nn.ModuleList) and len(children) > 1 and len(kinds) == 1 and _of_blocks(*kinds):
        yield path, tuple(joined(path, child) for child in children)
        return
    for name, child in children.items():
        yield from _found(child, joined(path, name))


def _of_blocks(kind: type[nn.Module]) -> bool:
    return kind is nn.TransformerEncoderLayer or not kind.__module__.startswith("torch.nn")


def _parents(model: nn.Module, path: str) -> Iterator[nn.Module]:
    while path:
        path = path.rpartition(".")[0]
        if path:
            yield model.get_submodule(path)
