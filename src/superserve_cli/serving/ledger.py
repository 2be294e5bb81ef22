from array import array
from collections.abc import Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from superserve_cli.core.nouns import Request, Subnet
from superserve_cli.core.outcomes import FAILED, LATE, MET, NEVER, Outcomes
from superserve_cli.serving.ids import arrival_of

NOBODY: Final = -1
_TIMES: Final = ("arrival_ns", "deadline_ns", "start_ns", "finish_ns", "ended_ns")
_COLUMNS: Final = ("id", *_TIMES, "subnet", "batch_size", "worker", "status", "size")


class Ledger:
    """What became of every request that reached the router, in the order in which they ended: 96 bytes each."""

    def __init__(self, subnets: Sequence[Subnet], accuracies: Sequence[float | None]) -> None:
        self._subnets = tuple(subnets)
        self._accuracies = np.array([np.nan if a is None else a for a in accuracies])
        self._index = {subnet: i for i, subnet in enumerate(subnets)}
        self._columns = {name: array("q") for name in _COLUMNS}
        self._floors = array("d")

    def __len__(self) -> int:
        return len(self._floors)

    def served(self, request: Request, start_ns: int, finish_ns: int, subnet: Subnet, batch_size: int, worker: int) -> None:
        """A batch has answered a request."""
        status = MET if finish_ns <= request.deadline_ns else LATE
        self._add(request, start_ns, finish_ns, finish_ns, self._index[subnet], batch_size, worker, status)

    def ended(self, request: Request, now_ns: int, status: int = FAILED) -> None:
        """A request was dropped, rejected or failed."""
        self._add(request, NEVER, NEVER, now_ns, NOBODY, NOBODY, NOBODY, status)

    def _add(self, request: Request, *rest: int) -> None:
        values = (arrival_of(request.id), request.arrival_ns, request.deadline_ns, *rest, request.size)
        for column, value in zip(self._columns.values(), values, strict=True):
            column.append(value)
        self._floors.append(request.min_accuracy)

    def outcomes(self, origin_ns: int) -> Outcomes:
        """The whole run by request, its times counted from `origin_ns`."""
        columns = {name: np.array(column, dtype=np.int64) for name, column in self._columns.items()}
        order = np.argsort(columns["id"], kind="stable")
        columns = {name: column[order] for name, column in columns.items()}
        floors = np.array(self._floors, dtype=np.float64)[order]
        subnet = columns["subnet"]
        known = np.append(self._accuracies, np.nan)
        return Outcomes(
            id=columns["id"],
            arrival_ns=columns["arrival_ns"] - origin_ns,
            deadline_ns=columns["deadline_ns"] - origin_ns,
            start_ns=_since(columns["start_ns"], origin_ns),
            finish_ns=_since(columns["finish_ns"], origin_ns),
            ended_ns=columns["ended_ns"] - origin_ns,
            subnets=self._subnets,
            subnet=subnet.astype(np.int32),
            accuracy=known[subnet],
            batch_size=columns["batch_size"].astype(np.int32),
            worker=columns["worker"].astype(np.int32),
            status=columns["status"].astype(np.int8),
            lag_ns=np.zeros(len(order), np.int64),
            extra={"size": pa.array(columns["size"].astype(np.int32)), "min_accuracy": pa.array(floors, mask=floors == 0)},
        )


def _since(times: np.ndarray[tuple[int, ...], np.dtype[np.int64]], origin_ns: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.where(times == NEVER, NEVER, times - origin_ns)
