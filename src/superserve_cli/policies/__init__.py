"""Policies: plain functions of slack and queue depth, and the decision tables they compile to."""

from superserve_cli.policies.names import ALL, POLICIES, described, every, named
from superserve_cli.policies.policy import Control, Policy, Seen
from superserve_cli.policies.table import DROP, DecisionTable, compile

__all__ = ["ALL", "DROP", "POLICIES", "Control", "DecisionTable", "Policy", "Seen", "compile", "described", "every", "named"]
