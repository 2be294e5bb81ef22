"""Where the accuracy of a subnet comes from: a table, a predictor, a regression, or, by explicit choice, from nothing but its cost."""

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from superserve_cli import profiles
from superserve_cli.core.nouns import Progress, Subnet, silent
from superserve_cli.errors import BadFile, BadOption
from superserve_cli.search import evaluated, predictor, regression
from superserve_cli.search.front import SMALL
from superserve_cli.search.genes import Codes, Genes, Numbers
from superserve_cli.search.parts import Cost, Parts
from superserve_cli.supernet import SuperNet
from superserve_cli.tasks import Task

CHOICES: Final = "predictor:FILE (of Once-for-All), table:FILE (subnet,accuracy), fit:N (evaluate N subnets), or macs (a stand-in)"
FEWEST: Final = regression.FEWEST


@dataclass(frozen=True)
class Accuracy:
    """Accuracies of subnets. `source` says in words where they come from, `about` what is known of their error.

    `stands_in`: they are no accuracies at all, only numbers that rise with multiply-accumulates.
    """

    of: Callable[[Codes], Numbers]
    source: str
    about: Mapping[str, Any]
    stands_in: bool = False


@dataclass(frozen=True)
class Asked:
    """What `--accuracy` says: `kind` is table, predictor, fit or macs."""

    kind: str
    file: Path | None = None
    count: int = 0


def asked(text: str | None, known: Mapping[str, Any]) -> Asked:
    """What an option asks for, or without it the accuracies in the SuperNet's own metadata; raises BadOption."""
    kind, _, value = (text or "").partition(":")
    if text is None and len(_own(known)) >= FEWEST:
        return Asked("table")
    if text is None:
        raise BadOption("nothing says how accurate the subnets are", hint=f"give --accuracy {CHOICES}")
    if kind in ("predictor", "table") and value:
        return Asked(kind, Path(value))
    if kind == "fit" and value.isascii() and value.isdigit() and int(value) >= FEWEST:
        return Asked(kind, count=int(value))
    if text == "macs":
        return Asked(kind)
    hint = f"a regression needs at least {FEWEST} subnets" if kind == "fit" else f"choose {CHOICES}"
    raise BadOption(f"--accuracy is {text!r}", hint=hint)


def accuracy(
    asked: Asked, supernet: SuperNet, parts: Parts, task: Callable[[], Task], seed: int = 0, progress: Progress = silent
) -> Accuracy:
    """The accuracies that are asked for; `task` is called where subnets have to be evaluated. Raises BadFile or BadOption."""
    if asked.kind != "fit":
        progress(1, 1, asked.kind)
    genes = parts.genes
    match asked:
        case Asked("predictor", Path() as path):
            found = predictor.load(path, supernet.family, supernet.architecture, genes)
            found(genes.extremes)
            return Accuracy(found, f"the predictor {path.name}", {})
        case Asked("table", path):
            where = f"the table {path.name}" if path else "the accuracies in supernet.json"
            return _of_table(genes, _read(path) if path else _own(supernet.metadata), where)
        case Asked("fit", _, count):
            subnets = _sampled(genes, count, seed)
            return _of_table(genes, evaluated.evaluate(supernet, subnets, task(), progress), f"{len(subnets)} evaluated subnets")
        case _:
            return _of_macs(parts)


def _own(metadata: Mapping[str, Any]) -> dict[Subnet, float]:
    rows = metadata.get("subnets", {})
    return {subnet: float(row["validation"]) for subnet, row in rows.items() if isinstance(row.get("validation"), int | float)}


def _sampled(genes: Genes, count: int, seed: int) -> list[Subnet]:
    """The extremes and random subnets, each once; all of a space that has no more."""
    if genes.space.size <= count:
        return list(genes.space.enumerate())
    rng, found = np.random.default_rng([seed, 1]), dict.fromkeys((genes.space.smallest, genes.space.largest))
    while len(found) < count:
        found |= dict.fromkeys(genes.decode(genes.sample(count - len(found), rng)))
    return list(found)


def _of_table(genes: Genes, table: Mapping[Subnet, float], where: str) -> Accuracy:
    """Every subnet as the table has it where it has them all, else by a regression on those that it has."""
    codes, values = genes.encode(table), np.array(list(table.values()))
    if genes.space.size <= SMALL and len(table) == genes.space.size:
        exact = {row.tobytes(): value for row, value in zip(codes, values, strict=True)}
        return Accuracy(lambda rows: np.array([exact[row.tobytes()] for row in rows]), where, {"subnets": len(table)})
    fitted = regression.fit(genes, codes, values)
    errors = fitted.errors
    about = {"subnets": errors.subnets, "mean_absolute_error": errors.mean_absolute, "rank_correlation": errors.rank_correlation}
    return Accuracy(fitted, f"a regression on {where}", about)


def _of_macs(parts: Parts) -> Accuracy:
    macs = Cost(parts, lambda work: work.macs)
    smallest, largest = np.log(macs(parts.genes.extremes))
    return Accuracy(
        lambda codes: (np.log(macs(codes)) - smallest) / (largest - smallest or 1.0), "multiply-accumulates, a stand-in", {}, stands_in=True
    )


def _read(path: Path) -> dict[Subnet, float]:
    """The accuracies of a profile (Parquet), or of a CSV file with the columns subnet and accuracy; raises BadFile."""
    if path.suffix != ".csv":
        measured = profiles.load(path)
        return {s: a for s, a in zip(measured.subnets, measured.accuracies, strict=True) if a is not None}
    try:
        with path.open(newline="", encoding="utf-8-sig") as text:
            rows = list(csv.DictReader(text))
    except FileNotFoundError:
        raise BadFile(f"there is no {path}", hint=f"choose {CHOICES}") from None
    except (OSError, ValueError, csv.Error) as error:
        raise BadFile(f"{path} is not a readable CSV file: {error}", hint=f"choose {CHOICES}") from error
    if not rows or not {"subnet", "accuracy"} <= rows[0].keys():
        raise BadFile(f"{path} is no table of accuracies", hint="it has a header with subnet and accuracy, and rows")
    return dict(_row(path, number, row) for number, row in enumerate(rows, 2))


def _row(path: Path, number: int, row: Mapping[str, str | None]) -> tuple[Subnet, float]:
    try:
        value = float(row["accuracy"] or "")
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1 or not row["subnet"]:
        raise BadFile(f"{path}, line {number}: the accuracy is {row['accuracy']}; it must lie in 0..1", hint="write 78.2 % as 0.782")
    return row["subnet"], value
