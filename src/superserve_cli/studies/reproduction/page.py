"""`reproduction.md`: the paper's claims, our figures on each profile under each late rule, and what every policy did."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Final

from superserve_cli.reports import notation
from superserve_cli.reports.markdown import table
from superserve_cli.reports.notes import COMPARABLE
from superserve_cli.studies.reproduction import claims
from superserve_cli.studies.reproduction.asked import SECONDS, loaded
from superserve_cli.studies.reproduction.claims import Claim
from superserve_cli.studies.reproduction.definitions import DEFINITIONS
from superserve_cli.studies.reproduction.experiments import AZURE, PAPER_WORKERS, Experiment
from superserve_cli.studies.reproduction.measures import EPSILON, NEARLY, Figure, Grid, Setting
from superserve_cli.studies.reproduction.pictures import drawn
from superserve_cli.studies.reproduction.results import Results, overall
from superserve_cli.studies.utilisation import MODELLED, REFERENCE, capacity_qps, rate_factor, slo_ns

PRICE: Final = "price"
PICTURES: Final = "reproduction"
"""The folder of the pictures, beside the page."""


def page(found: Results) -> str:
    """The whole page."""
    return "\n\n".join(filter(None, _parts(found))) + "\n"


def _parts(found: Results) -> Iterator[str]:
    yield "# The SuperServe paper's experiments, run again"
    yield (
        "Written by the command below; change the code, not this page. The claims are those of *SuperServe: Fine-Grained Inference Serving "
        "for Unpredictable Workloads* (NSDI 2025). Everything here is simulated: the profiles say how long a batch takes."
    )
    yield f"    {found.asked.command()}"
    yield _cost(found)
    yield "## The claims"
    yield _summary(found)
    yield f"The figures are those under `--late {found.late}`; below they stand under every rule. Claims that cannot be checked here:"
    yield "\n".join(f"- {unchecked}" for unchecked in claims.UNCHECKED)
    yield "## How it is compared"
    yield from _definitions(found)
    for experiment in found.experiments:
        yield f"## {experiment.title}"
        yield experiment.about[0].upper() + experiment.about[1:] + "."
        yield from _claims(found, experiment)
        yield from (f"![{experiment.title} on {name}]({PICTURES}/{file})" for name, file in drawn(found, experiment))
        yield from _tables(found, experiment)
    yield from _price(found)


def _cost(found: Results) -> str:
    told = f"{len(found.cells):,} simulations of {sum(cell.requests for cell in found.cells):,} requests"
    known = sum(run["cells"] for run in found.runs) == len(found.cells)  # otherwise the runs made other cells too, or one was killed
    wall_s, processes = sum(run["wall_s"] for run in found.runs), max((run["processes"] for run in found.runs), default=1)
    return f"{told}, in {wall_s:,.0f} s, {processes:.0f} at a time." if known else f"{told}."


def _summary(found: Results) -> str:
    columns, rows = summary(found)
    return table(columns, rows)


def summary(found: Results, short: bool = False) -> tuple[list[str], list[tuple[str, ...]]]:
    """The columns and rows that tell of every claim the paper's figure and ours, and the verdict."""
    at = [setting for setting in found.grids if setting.late == found.late]
    rows = []
    for claim in found.claims:
        figures = found.figures(claim)
        shown = (quantity(claim, figures[setting].value) for setting in at)
        rows.append((claim.name if short else claim.says, quantity(claim, claim.paper), *shown, overall(claim, figures)))
    return ["claim", "paper", *map(_named, at), "verdict"], rows


def _named(setting: Setting) -> str:
    return setting.profile if setting.service == "fixed" else f"{setting.profile}, noise"


def quantity(claim: Claim, value: float | None, signed: bool = False) -> str:
    """A figure in the unit of its claim."""
    sign = "+" if signed or claim.unit == "points" else ""
    if value is None:
        return notation.UNKNOWN
    if claim.unit == "share":
        return f"{100 * value:+.3f}" if signed else notation.percent(value, 3)
    return f"{value:{sign}.2f}" + ("" if signed or claim.unit == "points" else "×")


def _definitions(found: Results) -> Iterator[str]:
    asked = found.asked
    file = Path(asked.azure.partition(":")[2]).name
    source = "the synthetic `azure`" if asked.azure == AZURE else f"`{file}`, a real file of the Azure Functions trace of 2019"
    scale = (
        "Durations are those of the paper, or 60 s where it gives none."
        if asked.seconds == SECONDS
        else f"All durations are {asked.seconds / SECONDS:.3g} times the paper's (60 s where it gives none)."
    )
    yield DEFINITIONS.format(
        seeds=asked.seeds,
        scale=scale,
        maf=source,
        epsilon=EPSILON,
        full=COMPARABLE,
        nearly=100 * NEARLY,
        holds=claims.HOLDS,
        less=claims.LESS,
        least=claims.LEAST,
        linear=claims.LINEAR,
        modelled=" and ".join(f"`{name}`" for name in MODELLED),
        reference=REFERENCE,
    )
    yield _profiles(asked.profiles)


def _profiles(names: Sequence[str]) -> str:
    rows = []
    for name in names:
        served = loaded(name)
        sustained = f"{_largest(name):,.0f} to {capacity_qps(served, PAPER_WORKERS):,.0f}"
        accuracies = [accuracy for accuracy in served.accuracies if accuracy is not None]
        span = f"{100 * min(accuracies):.2f} to {100 * max(accuracies):.2f} %" if accuracies else notation.UNKNOWN
        rows.append((name, len(served.subnets), span, sustained, f"{rate_factor(served):.3f}", f"{slo_ns(served) / 1e6:g} ms"))
    return table(("profile", "subnets served", "accuracy", "requests/s of 8 workers", "rates ×", "SLO"), rows)


def _largest(name: str) -> float:
    served = loaded(name)
    return min(capacity_qps(served.only({subnet}), PAPER_WORKERS) for subnet in served.subnets)


def _claims(found: Results, experiment: Experiment) -> Iterator[str]:
    pairs = list(dict.fromkeys((setting.profile, setting.service) for setting in found.grids))
    for claim in found.claims:
        if claim.experiment == experiment.name:
            figures = found.figures(claim)
            stated = f" (paper: {quantity(claim, claim.paper)})" if claim.paper is not None else ""
            yield f"**{claim.says[0].upper()}{claim.says[1:]}**{stated}: {overall(claim, figures)}."
            rows = ((late, *(_told(claim, figures, Setting(*pair, late)) for pair in pairs)) for late in found.asked.late)
            yield table(("late rule", *(_named(Setting(*pair, "")) for pair in pairs)), rows)
            notes = (_note(setting, figures[setting]) for setting in found.grids if setting.late == found.late)
            yield "\n".join(filter(None, notes))


def _price(found: Results) -> Iterator[str]:
    """What the paper claims of SlackFit, asked of the policy `price`."""
    if not any(cell.policy == PRICE for cell in found.cells):
        return
    at = [setting for setting in found.grids if setting.late == found.late]
    asked = [claim for claim in found.claims if claim.measure in claims.OF_OURS and claim.experiment != "policies"]
    rows = []
    for claim in asked:
        figures = {setting: claim.measured(found.seen(setting, PRICE)) for setting in at}
        told = (f"{quantity(claim, figure.value)} {claim.verdict(figure.value)}" for figure in figures.values())
        rows.append((claim.says, quantity(claim, claim.paper), *told))
    yield "## `price` in SlackFit's place"
    yield "The paper's claims of SlackFit, asked of a policy that the paper does not know."
    yield table(("claim", "paper", *map(_named, at)), rows)


def _told(claim: Claim, figures: Mapping[Setting, Figure], setting: Setting) -> str:
    figure = figures.get(setting)
    if figure is None or figure.value is None:
        return notation.UNKNOWN
    difference = "" if claim.paper is None else f" ({quantity(claim, figure.value - claim.paper, signed=True)})"
    return f"{quantity(claim, figure.value)}{difference} {claim.verdict(figure.value)}"


def _note(setting: Setting, figure: Figure) -> str:
    return f"- {_named(setting)}: {figure.note}" if figure.note else ""


def _tables(found: Results, experiment: Experiment) -> Iterator[str]:
    for setting in found.grids:
        if setting.late == found.late and (grid := found.grids[setting].get(experiment.name)):
            yield f"{_named(setting)}, `--late {setting.late}`:"
            yield _rates(grid) if experiment.search else _policies(found, experiment, setting, grid)


def _rates(grid: Grid) -> str:
    """The largest rates that were found, per number of workers."""
    names = list(next(iter(grid.values())))
    rows = ((label, *(f"{row[name].offered_qps:,.0f}" for name in names)) for label, row in grid.items())
    return table(("images/s at 0.999", *names), rows)


def _policies(found: Results, experiment: Experiment, setting: Setting, grid: Grid) -> str:
    others = [late for late in found.asked.late if late != setting.late]
    names = list(dict.fromkeys(name for row in grid.values() for name in row))
    rows = []
    for name in sorted(names, key=lambda name: -_utility(grid, name)):
        means = [row[name] for row in grid.values()]
        full = [mean for mean in means if mean.attainment >= COMPARABLE]
        accurate = [mean.accuracy for mean in full if mean.accuracy is not None]
        gaps = [_gap(grid, name), *(_gap(found.grids[setting._replace(late=late)].get(experiment.name, {}), name) for late in others)]
        attained = notation.percent(min(mean.attainment for mean in means), 3)
        accuracy = notation.percent(fmean(accurate)) if len(accurate) == len(means) else notation.UNKNOWN
        rows.append((name, attained, f"{len(full)}/{len(means)}", accuracy, notation.percent(_utility(grid, name)), *gaps))
    columns = (
        "policy",
        "attainment, worst",
        f"cells ≥ {COMPARABLE}",
        "accuracy",
        "utility",
        "gap, points",
        *(f"gap, {late}" for late in others),
    )
    return table(columns, rows)


def _utility(grid: Grid, name: str) -> float:
    return fmean(row[name].utility or 0.0 for row in grid.values())


def _gap(grid: Grid, name: str) -> str:
    gaps = [row[name].gap for row in grid.values() if name in row]
    known = [gap for gap in gaps if gap is not None]
    return f"{fmean(known):.3f}" if known and len(known) == len(gaps) else notation.UNKNOWN
