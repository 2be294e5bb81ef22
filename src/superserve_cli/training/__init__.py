"""How a SuperNet comes to be: all subnets trained together, each calibrated and evaluated."""

from superserve_cli.training.build import build
from superserve_cli.training.job import resolve
from superserve_cli.training.recipe import Recipe

__all__ = ["Recipe", "build", "resolve"]
