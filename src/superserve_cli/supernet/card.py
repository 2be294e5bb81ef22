"""The model card of a SuperNet: the README.md of its folder, for those who come upon the folder and ask what it is."""

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from superserve_cli.profiles.asked import spread
from superserve_cli.supernet import described
from superserve_cli.supernet.asked import front
from superserve_cli.supernet.space import Dimension
from superserve_cli.supernet.supernet import SuperNet

NAME: Final = "README.md"
LISTED: Final = 20
"""How many subnets the card lists of a longer front."""
LABELS: Final = 20
UNITS: Final = {"cpu_s": "CPU seconds", "sha256": "SHA-256"}


def card(supernet: SuperNet, place: str) -> str:
    """The card in Markdown. `place` is the SuperNet's folder as commands are given it; empty for the shipped one, which they find."""
    parts = (_about(supernet), _space(supernet), _subnets(supernet), _statistics(supernet), _origin(supernet), _use(supernet, place))
    return "\n".join(part.rstrip() + "\n" for part in parts if part)


def _about(supernet: SuperNet) -> str:
    architecture, parameters = supernet.architecture, sum(tensor.numel() for tensor in supernet.weights.values())
    size = sum(tensor.nbytes for tensor in supernet.weights.values())
    what = (type(architecture).__doc__ or "").partition("\n")[0]
    rows = {
        "input": f"{' x '.join(map(str, architecture.shape))}, {architecture.dtype}",
        "output": f"{architecture.classes} classes{_labels(supernet)}",
        "weights": f"{parameters:,} parameters, {size / 1e6:,.1f} MB in float32, shared by all subnets",
        "subnets": _counts(supernet),
        "hash": f"`{supernet.hash}`",
    }
    return f"# {supernet.name}\n\nA SuperNet of the family `{supernet.family}`, for superserve. {what}\n\n{_table(('', ''), rows.items())}"


def _labels(supernet: SuperNet) -> str:
    labels = [str(label) for label in supernet.metadata.get("task", {}).get("labels", [])]
    more = f" and {len(labels) - LABELS} more" if len(labels) > LABELS else ""
    return f": {', '.join(labels[:LABELS])}{more}" if labels else ""


def _counts(supernet: SuperNet) -> str:
    calibrated = f", {len(supernet.statistics):,} with SubnetNorm statistics of their own" if supernet.normalized else ""
    return f"{supernet.space.size:,} in the space{calibrated}" + (f", {len(best):,} on the front" if (best := front(supernet)) else "")


def _space(supernet: SuperNet) -> str:
    space = supernet.space
    rows = [(f"`{d.letter}`", d.name, str(d.count), _values(d)) for d in space.dimensions]
    gated = " What a block that does not run is set to is written as the first value." * any(d.gates for d in space.dimensions)
    return (
        f"## Space\n\n{_table(('letter', 'dimension', 'settings', 'each one of'), rows)}\n"
        f"The id of a subnet says how each dimension is set. The largest is `{space.largest}`, the smallest `{space.smallest}`.{gated}"
    )


def _values(dimension: Dimension) -> str:
    return ", ".join(word if word == f"{value:g}" else f"{word} ({value:g})" for value, word in dimension.words.items())


def _subnets(supernet: SuperNet) -> str:
    best = front(supernet)
    ids = best or supernet.subnets
    if not ids:
        return ""
    columns, rows = described.rows(supernet, spread(ids, LISTED) if len(ids) > LISTED else ids)
    table = _table(("subnet", *columns[1:]), ((f"`{subnet}`", *cells) for subnet, *cells in rows))
    return f"## {'The front' if best else 'Subnets'}\n\n{_preface(supernet, len(ids), columns)}\n\n{table}"


def _preface(supernet: SuperNet, count: int, columns: tuple[str, ...]) -> str:
    chosen = f"{LISTED} of {count:,}, spread over all. " if count > LISTED else ""
    if "validation" in columns:
        return chosen + "The Pareto front of multiply-accumulates and accuracy on validation images; test images had no part in the choice."
    if "predicted" in columns:
        said = supernet.metadata["predicted"]
        where = f"on {said['device']}, in batches of {said['batch_size']}"
        return f"{chosen}The Pareto front that a search foretells: latency {where}, and accuracy from {said['accuracy_from']}."
    return chosen + "How accurate they are is not known here."


def _statistics(supernet: SuperNet) -> str:
    if not supernet.normalized:
        return ""
    others = " Every other subnet has to be calibrated before it runs." if len(supernet.statistics) < supernet.space.size else ""
    return (
        "## SubnetNorm statistics\n\nMean and variance of every normalisation are a subnet's own: those of another would make it answer at "
        f"random. Here they are {described.statistics(supernet)}.{others}"
    )


def _origin(supernet: SuperNet) -> str:
    metadata, parts = supernet.metadata, []
    if origin := metadata.get("origin"):
        parts.append(f"Imported from a file; the licence of the weights is that file's.\n\n{_facts(origin)}")
    if recipe := metadata.get("recipe"):
        told = {name: value for name, value in recipe.items() if name != "command"}
        data = {"SHA-256 of the training images": metadata["task"]["data"]} if "data" in metadata.get("task", {}) else {}
        parts.append(f"Trained by\n\n{_shell(str(recipe.get('command', 'superserve build')))}\n{_facts({**told, **data})}")
    if span := metadata.get("spread"):
        error, points = 100 * span["standard_error"], 100 * span["accuracy"]
        parts.append(f"Test accuracies of the front span {points:.1f} points (standard error {error:.1f}, {span['images']:,} images).")
    if versions := metadata.get("versions"):
        parts.append(f"Written with {', '.join(f'{name} {version}' for name, version in versions.items())}.")
    return "## Where it comes from\n\n" + "\n\n".join(part.rstrip() for part in parts) if parts else ""


def _use(supernet: SuperNet, place: str) -> str:
    subnet = (front(supernet) or supernet.subnets or (supernet.space.largest,))[-1]
    here = shlex.quote(place) if place else ""
    calibrate = [f"superserve calibrate {here} --data npz:IMAGES.npz --subnets 10"] if len(supernet.statistics) == 1 and place else []
    steps = [
        f"superserve inspect {here}" if place else "",
        *calibrate,
        f"superserve profile {here} --out profile.parquet",
        f"superserve serve {here} --profile profile.parquet",
        f"superserve export {here} --subnet {subnet} --out subnet.onnx",
    ]
    path = f"Path({place!r})" if place else ""
    python = [
        *(["from pathlib import Path", ""] if place else []),
        "from superserve_cli import supernet",
        "",
        f"net = supernet.load({path})",
        f'logits = net.forward(inputs, "{subnet}")',
    ]
    where = "In the folder that holds this one:\n\n" if place else ""
    shell = where + _shell("\n".join(" ".join(step.split()) for step in steps if step))
    return f"## How to use it\n\n{shell}\n```python\n" + "\n".join(python) + "\n```"


def _facts(facts: Mapping[str, Any]) -> str:
    return _table(("", ""), [(UNITS.get(name, name.replace("_", " ")), f"{value}") for name, value in facts.items()])


def _shell(text: str) -> str:
    return f"```sh\n{text}\n```\n"


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)
