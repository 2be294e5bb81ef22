"""The measured table: latency of every (subnet, batch size), accuracy of every subnet."""

from superserve_cli.profiles.files import load, save, shipped
from superserve_cli.profiles.measure import Disagreement, accuracies, disagreement, measure
from superserve_cli.profiles.pareto import front
from superserve_cli.profiles.profile import Profile
from superserve_cli.profiles.rows import plan_ns, rows

__all__ = ["Disagreement", "Profile", "accuracies", "disagreement", "front", "load", "measure", "plan_ns", "rows", "save", "shipped"]
