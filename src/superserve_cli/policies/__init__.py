"""Policies: plain functions of slack and queue depth, and the decision tables they compile to."""

from superserve_cli.policies.files import read, save
from superserve_cli.policies.names import ALL, POLICIES, described, every, named
from superserve_cli.policies.policy import Control, Policy, Seen
from superserve_cli.policies.restricted import finished
from superserve_cli.policies.table import DROP, DecisionTable, compile

__all__ = [
    "ALL",
    "DROP",
    "POLICIES",
    "Control",
    "DecisionTable",
    "Policy",
    "Seen",
    "compile",
    "described",
    "every",
    "finished",
    "named",
    "read",
    "save",
]
