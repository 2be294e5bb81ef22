"""Intended arrivals: where they come from, what they look like, how they are kept."""

from superserve_cli.traces.files import content_hash, save
from superserve_cli.traces.mix import Mix
from superserve_cli.traces.mix import read as read_mix
from superserve_cli.traces.sources import DEFAULT_QPS, NAMES, load, slo_ns
from superserve_cli.traces.statistics import describe, statistics
from superserve_cli.traces.trace import Trace

__all__ = ["DEFAULT_QPS", "NAMES", "Mix", "Trace", "content_hash", "describe", "load", "read_mix", "save", "slo_ns", "statistics"]
