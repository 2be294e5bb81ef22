"""Which subnets of a space too large to measure are worth serving: predicted latencies and accuracies, and their Pareto front."""

from superserve_cli.search.accuracy import Accuracy, accuracy, asked
from superserve_cli.search.found import Found
from superserve_cli.search.latency import Latency
from superserve_cli.search.parts import Parts
from superserve_cli.search.run import measured, parts_of, search

__all__ = ["Accuracy", "Found", "Latency", "Parts", "accuracy", "asked", "measured", "parts_of", "search"]
