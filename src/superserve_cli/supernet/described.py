"""What a SuperNet is and holds, in words and numbers, for people and for scripts."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from superserve_cli.core.nouns import Subnet
from superserve_cli.supernet.asked import front, in_words
from superserve_cli.supernet.space import Dimension
from superserve_cli.supernet.supernet import SuperNet

MB: Final = 1e6
BYTES: Final = 4
"""Of a number in float32."""
SYNTHETIC: Final = " (synthetic: good for latency only)"
HASH, LONG_HASH = 12, 64
"""Characters of a SHA-256 that are shown, and those that it has."""
NAMED: Final = 3
"""So many subnets are named before the rest is counted."""


class Memory(NamedTuple):
    """Bytes of the shared weights, of the statistics of `subnets`, and of as many extracted copies."""

    weights: int
    statistics: int
    extracted: int
    subnets: int

    @property
    def ratio(self) -> float:
        """How many times more the copies take."""
        return self.extracted / (self.weights + self.statistics)


def memory(supernet: SuperNet) -> Memory:
    """What a SuperNet takes in float32 with all the subnets that are known by name."""
    known = supernet.subnets or front(supernet) or (supernet.space.largest,)
    weights = BYTES * sum(tensor.numel() for tensor in supernet.weights.values())
    own = BYTES * sum(part.numel() for own in supernet.statistics.values() for part in own)
    return Memory(weights, own, BYTES * sum(map(supernet.params, known)), len(known))


def facts(supernet: SuperNet) -> list[tuple[str, str]]:
    """What it is, as (name, value)."""
    metadata, architecture = supernet.metadata, supernet.architecture
    found = [
        ("schema", str(metadata.get("schema", ""))),
        ("name", supernet.name),
        ("family", supernet.family),
        ("hash", supernet.hash[:HASH]),
        ("input", f"{architecture.dtype} of {'x'.join(map(str, architecture.shape))}, {architecture.classes:,} outputs"),
        ("subnets", f"{in_words(supernet.space.size)} in the space, {len(front(supernet)) or 'none'} on the front"),
        ("largest", supernet.space.largest),
        *((d.name, _allowed(d)) for d in supernet.space.dimensions),
        ("statistics", statistics(supernet)),
        ("memory", _memory(memory(supernet))),
        ("origin", _listed(metadata.get("origin", {}))),
        ("task", _listed({name: value for name, value in metadata.get("task", {}).items() if name != "labels"})),
        ("recipe", _listed(metadata.get("recipe", {}))),
        ("predicted", _predicted(metadata.get("predicted", {}))),
    ]
    return [(name, value) for name, value in found if value]


def statistics(supernet: SuperNet) -> str:
    """Which subnets have SubnetNorm statistics, and where these come from."""
    if not supernet.normalized:
        return "none needed: no SubnetNorm layers"
    if not supernet.statistics:
        return "none: no subnet can run before `superserve calibrate`"
    said = supernet.metadata.get("statistics")
    entries = [] if said is None else [said, *said.get("earlier", [])]
    sources = [f"{e['subnets']:,} from {e['images']:,} images of {e['data']}{SYNTHETIC if e['data'] == 'noise' else ''}" for e in entries]
    first = len(supernet.statistics) - sum(e["subnets"] for e in entries)
    if first > 0:
        sources.append(f"{first:,} from {'the checkpoint' if 'origin' in supernet.metadata else 'the training'}")
    only = tuple(supernet.statistics) == (supernet.space.largest,)
    return f"of {'the largest subnet only' if only else f'{len(supernet.statistics):,} subnets'}: {', '.join(sources)}"


def missing(supernet: SuperNet) -> list[Subnet]:
    """Subnets that are meant to be served and cannot run, because they have no statistics."""
    return [subnet for subnet in front(supernet) if not supernet.runs(subnet)]


def warnings(supernet: SuperNet, where: str) -> list[str]:
    """What would go wrong when it is served; `where` is its folder."""
    lost, found = missing(supernet), []
    if lost:
        found.append(
            f"{len(lost)} of the {len(front(supernet))} subnets on the front have no SubnetNorm statistics and cannot run "
            f"({_some(lost)}): `superserve calibrate {where}` measures them"
        )
    elif supernet.normalized and len(supernet.statistics) <= 1 < supernet.space.size:
        held = ("only the largest", "no other one") if supernet.statistics else ("no", "none")
        found.append(
            f"{held[0]} subnet has SubnetNorm statistics, {held[1]} can run: `superserve calibrate {where} --subnets ...` measures them"
        )
    if SYNTHETIC in statistics(supernet):
        found.append("some statistics are of noise: those subnets are good for measuring latency, and their answers are meaningless")
    return found


def data(supernet: SuperNet) -> dict[str, Any]:
    """The same as numbers, beside the content of `supernet.json`."""
    held = memory(supernet)
    return {
        **supernet.metadata,
        "size": supernet.space.size,
        "memory": {"weights": held.weights, "statistics": held.statistics, "extracted": held.extracted, "subnets": held.subnets},
        "calibrated": list(supernet.statistics),
        "missing": missing(supernet),
    }


def rows(supernet: SuperNet, subnets: Sequence[Subnet]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """A table of subnets: columns and rows; columns of which nothing is known are left out."""
    table = [_row(supernet, subnet) for subnet in subnets]
    columns = [name for name in (table[0] if table else {}) if any(row[name] for row in table)]
    return tuple(columns), [tuple(row[name] for name in columns) for row in table]


def _row(supernet: SuperNet, subnet: Subnet) -> dict[str, str]:
    known = supernet.metadata.get("subnets", {}).get(subnet, {})
    predicted = supernet.metadata.get("predicted", {}).get("subnets", {}).get(subnet, {})
    return {
        "front": subnet,
        "M MACs": f"{known.get('macs', supernet.macs(subnet)) / 1e6:,.2f}",
        "params": f"{known.get('params', supernet.params(subnet)):,}",
        "statistics": "" if supernet.runs(subnet) else "MISSING",
        **{split: f"{100 * known[split]:.2f} %" if split in known else "" for split in ("validation", "test")},
        "predicted": _foretold(predicted),
    }


def _memory(held: Memory) -> str:
    each = f", {held.statistics / held.subnets / 1e3:,.1f} kB each" if held.statistics else ""
    own = f" + {held.statistics / MB:,.2f} MB of statistics{each}" if held.statistics else ""
    copies = f"{held.subnets} extracted cop{'ies' if held.subnets != 1 else 'y'} would take {held.extracted / MB:,.2f} MB"
    return f"{held.weights / MB:,.2f} MB of weights{own}; {copies}, {held.ratio:.1f} times as much"


def _predicted(said: Mapping[str, Any]) -> str:
    """What a search foretold, where, and how far it was off."""
    if not said:
        return ""
    errors = said.get("errors", {}).get("latency", {})
    off = f"; latencies are off by {100 * errors['median']:.1f} % (median)" if errors.get("median") is not None else ""
    source = f", accuracies from {said['accuracy_from']}" if "accuracy_from" in said else ""
    return f"{len(said['subnets']):,} subnets on {said.get('device', 'some device')} at batch size {said.get('batch_size', 1)}{source}{off}"


def _foretold(said: Mapping[str, Any]) -> str:
    accuracy = [f"{100 * said['accuracy']:.1f} %"] if said.get("accuracy") is not None else []
    return ", ".join([*accuracy, *([f"{said['latency_ms']:.3g} ms"] if "latency_ms" in said else [])])


def _listed(entries: dict[str, Any]) -> str:
    return ", ".join(f"{name} {str(value)[:HASH] if len(str(value)) == LONG_HASH else value}" for name, value in entries.items())


def _allowed(dimension: Dimension) -> str:
    gated = "; the first where a block does not run" if dimension.gates else ""
    return dimension.allowed.removeprefix(f"{dimension.name} is ") + gated


def _some(subnets: Sequence[Subnet]) -> str:
    more = f" and {len(subnets) - NAMED} more" if len(subnets) > NAMED else ""
    return ", ".join(subnets[:NAMED]) + more
