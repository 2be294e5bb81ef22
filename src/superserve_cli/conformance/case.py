"""A case: one sentence of the specification, and how to see whether a server keeps it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from superserve_cli.conformance.target import Target
from superserve_cli.conformance.verdict import FAIL, NOT_OFFERED, PASS, NotOffered, Unmet, Verdict

Check = Callable[[Any, Target], None]
"""Asks a client (`client.Client`, or `rpc.Rpc` for cases over gRPC) about a target; raises Unmet or NotOffered."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table. Only what the specification demands is `required`; `extension` must be among the server's own."""

    name: str
    group: str
    sentence: str
    check: Check
    required: bool = True
    extension: str = ""
    disturbs: bool = False

    def judge(self, client: Any, target: Target) -> Verdict:
        """Whether the server keeps the sentence."""
        if self.extension and self.extension not in target.extensions:
            return Verdict(NOT_OFFERED, note=f"the server does not list {self.extension}")
        try:
            self.check(client, target)
        except Unmet as unmet:
            return Verdict(FAIL, unmet.expected, unmet.came)
        except NotOffered as missing:
            return Verdict(NOT_OFFERED, note=str(missing))
        return Verdict(PASS)
