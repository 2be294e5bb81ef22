"""Does a server keep the Open Inference Protocol v2? A table of cases, and what came of each against one model of one server."""

from superserve_cli.conformance.client import Client, headers, place
from superserve_cli.conformance.report import FAILURES, RESULTS, Report
from superserve_cli.conformance.run import run
from superserve_cli.conformance.target import Target, find

__all__ = ["FAILURES", "RESULTS", "Client", "Report", "Target", "find", "headers", "place", "run"]
