"""What one simulation told, and where finished ones are kept so that an interrupted run goes on."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from superserve_cli.core.files import write_text
from superserve_cli.errors import BadFile, BadOption

SCHEMA: Final = "reproduction-cells/1"
FILE: Final = "cells.jsonl"
Key = tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """One policy on one trace: a row of `reproduction.json`.

    `offered_qps` counts rows, and is the largest sustained rate where that was looked for; `accuracy_first` and `accuracy_last` are
    over the met requests that arrive in the first and the last twentieth of the run; `top_share` is the share of the met that the most
    accurate subnet answered; `bound` is what no scheduler's utility can pass; `wall_s` how long it took to simulate.
    """

    experiment: str
    workload: str
    profile: str
    service: str
    late: str
    policy: str
    seed: int
    workers: int
    offered_qps: float
    slo_ms: float
    requests: int
    attainment: float
    accuracy: float | None
    utility: float | None
    bound: float | None
    accuracy_first: float | None
    accuracy_last: float | None
    top_share: float | None
    wall_s: float

    @property
    def key(self) -> Key:
        """What tells it from every other cell of the same settings."""
        return (self.experiment, self.workload, self.profile, self.service, self.late, self.policy, str(self.seed))


class Store:
    """Finished cells in a file of JSON lines: the first says under which settings, each other holds a cell or the cost of a run."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], overwrite: bool) -> None:
        self._path = folder / FILE
        self.settings = dict(settings)
        self.cells: dict[Key, Cell] = {}
        self.runs: list[dict[str, float]] = []
        if overwrite or not self._path.exists():
            write_text(self._path, json.dumps({"schema": SCHEMA, "settings": self.settings}) + "\n")
        else:
            self._read()

    def add(self, cells: Iterable[Cell]) -> None:
        """Keep cells, at once."""
        made = list(cells)
        self.cells |= {cell.key: cell for cell in made}
        self._append(*(json.dumps({"cell": asdict(cell)}) for cell in made))

    def ran(self, cost: Mapping[str, float]) -> None:
        """Note what a run cost."""
        self.runs.append(dict(cost))
        self._append(json.dumps({"run": dict(cost)}))

    def _append(self, *lines: str) -> None:
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(f"{line}\n" for line in lines))
        except OSError as error:
            raise BadFile(f"cannot write {self._path}: {error.strerror}", hint="free some space or choose another --out") from error

    def _read(self) -> None:
        text = self._path.read_text(encoding="utf-8")
        whole, _, torn = text.rpartition("\n")
        try:
            header, *lines = [json.loads(line) for line in whole.splitlines()]
            known, settings = header["schema"] == SCHEMA, header["settings"]
            cells = [Cell(**line["cell"]) for line in lines if "cell" in line]
            self.runs = [line["run"] for line in lines if "run" in line]
        except (ValueError, KeyError, TypeError) as error:
            raise BadFile(f"{self._path} holds no cells: {error}", hint="add --overwrite, or choose another --out") from error
        if not known or settings != self.settings:
            raise BadOption(_otherwise(self._path, settings, self.settings), hint="add --overwrite to begin anew, or choose another --out")
        if torn:  # an interrupted write
            write_text(self._path, whole + "\n")
        self.cells = {cell.key: cell for cell in cells}


def _otherwise(path: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    names = sorted(name for name in there.keys() | here.keys() if there.get(name) != here.get(name))
    differ = "; ".join(f"{name} {there.get(name)!r}, now {here.get(name)!r}" for name in names)
    return f"{path} was made otherwise: {differ or 'another schema'}"
