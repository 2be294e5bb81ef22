"""The measured table: latency of every (subnet, batch size), accuracy of every subnet."""

from superserve_cli.profiles.files import load, save, shipped
from superserve_cli.profiles.profile import Profile

__all__ = ["Profile", "load", "save", "shipped"]
