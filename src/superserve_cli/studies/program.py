"""Mixed-integer linear programmes, told by names: variables, rows over them, and what HiGHS makes of both."""

from collections.abc import Hashable, Iterable
from typing import Final

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

OPTIMAL: Final = 0
Term = tuple[Hashable, float]
"""(variable, coefficient)."""


class Program:
    """Maximise the sum of value x variable, subject to rows that bound sums of coefficient x variable."""

    def __init__(self) -> None:
        self._index: dict[Hashable, int] = {}
        self._variables: list[tuple[float, float, bool, float]] = []
        self._entries: list[tuple[int, int, float]] = []
        self._rows: list[tuple[float, float]] = []

    def __len__(self) -> int:
        return len(self._variables)

    def __contains__(self, name: Hashable) -> bool:
        return name in self._index

    def yes_or_no(self, name: Hashable, value: float = 0.0) -> None:
        """A variable that is 0 or 1, and what it is worth."""
        self._add(name, 0.0, 1.0, True, value)

    def number(self, name: Hashable, low: float, high: float) -> None:
        """A real variable, not negative."""
        self._add(name, low, high, False, 0.0)

    def _add(self, name: Hashable, low: float, high: float, whole: bool, value: float) -> None:
        self._index[name] = len(self._variables)
        self._variables.append((low, high, whole, value))

    def row(self, terms: Iterable[Term], low: float = -np.inf, high: float = np.inf) -> None:
        """Bound a sum; a variable that does not exist counts 0."""
        self._entries += [(len(self._rows), self._index[name], factor) for name, factor in terms if name in self._index]
        self._rows.append((low, high))

    def solve(self, patience_s: float) -> dict[Hashable, float] | None:
        """The value of every variable at the proven optimum, or None where it was not found in time."""
        low, high, whole, value = map(np.array, zip(*self._variables, strict=True))
        row, column, factor = map(np.array, zip(*self._entries, strict=True))
        # nanoseconds beside zeros and ones would spoil the solver's tolerances: all variables in 0..1, and in every row a 1
        unit = np.where(high > 0, high, 1.0)
        scaled = factor * unit[column]
        largest = np.ones(len(self._rows))
        np.maximum.at(largest, row, np.abs(scaled))
        matrix = coo_array((scaled / largest[row], (row, column)), shape=(len(self._rows), len(self))).tocsr()
        least, most = np.array(self._rows).T / largest
        solved = milp(
            -value,
            integrality=whole.astype(int),
            bounds=Bounds(low / unit, high / unit),
            constraints=LinearConstraint(matrix, least, most),
            options={"time_limit": patience_s, "mip_rel_gap": 0.0},
        )
        return dict(zip(self._index, (solved.x * unit).tolist(), strict=True)) if solved.status == OPTIMAL else None
