"""Weight-shared SuperNets: operators, families, files. The subnet is an argument of everything, never a mode."""

from superserve_cli.supernet.families import FAMILIES, families, family
from superserve_cli.supernet.files import load, save
from superserve_cli.supernet.insertion.elastic import Elastic
from superserve_cli.supernet.insertion.insert import subnetact
from superserve_cli.supernet.program import Program
from superserve_cli.supernet.space import Dimension, Gate, Point, Space
from superserve_cli.supernet.supernet import Statistics, SuperNet

__all__ = [
    "FAMILIES",
    "Dimension",
    "Elastic",
    "Gate",
    "Point",
    "Program",
    "Space",
    "Statistics",
    "SuperNet",
    "families",
    "family",
    "load",
    "save",
    "subnetact",
]
