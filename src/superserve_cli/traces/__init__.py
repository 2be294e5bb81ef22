"""Intended arrivals: where they come from, what they look like, how they are kept."""

from superserve_cli.traces.files import content_hash, save
from superserve_cli.traces.sources import DEFAULT_QPS, NAMES, load
from superserve_cli.traces.statistics import statistics
from superserve_cli.traces.trace import Trace

__all__ = ["DEFAULT_QPS", "NAMES", "Trace", "content_hash", "load", "save", "statistics"]
