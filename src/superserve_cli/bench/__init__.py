"""What `superserve bench` measures: a function per name, each returning figures with their targets."""

from collections.abc import Callable
from typing import Final

from superserve_cli.bench.actuate import actuate
from superserve_cli.bench.decide import decide
from superserve_cli.bench.faults import faults
from superserve_cli.bench.figure import Figure, machine
from superserve_cli.bench.load import load
from superserve_cli.bench.pictures import write_pictures
from superserve_cli.bench.serve.live import ASKED, PEERS, PLAIN, SERVE, live
from superserve_cli.bench.simulate import simulate
from superserve_cli.bench.start import start
from superserve_cli.bench.subnetact import subnetact
from superserve_cli.core.nouns import Progress
from superserve_cli.errors import Unknown

BENCHMARKS: Final[dict[str, Callable[[Progress], list[Figure]]]] = {
    "simulate": simulate,
    "decide": decide,
    "actuate": actuate,
    "start": start,
    "load": load,
    **PLAIN,
}
SUBNETACT: Final = "subnetact"
"""Not among the others: it takes a device, and yields what pictures are drawn from."""
HEADLINE: Final = "headline"
"""Takes a device, and leaves its profile in a folder."""
FAULTS: Final = "faults"
"""Can be asked to be quick."""
OF_SERVER: Final = (*ASKED, PEERS, SERVE)
"""Not among the others either: they can be asked to be quick, and some to measure other servers too."""


def named(name: str) -> Callable[[Progress], list[Figure]]:
    """The benchmark of a name; raises Unknown."""
    if name not in BENCHMARKS:
        raise Unknown("benchmark", name, [*BENCHMARKS, SUBNETACT, HEADLINE, FAULTS, *OF_SERVER])
    return BENCHMARKS[name]


__all__ = [
    "BENCHMARKS",
    "FAULTS",
    "HEADLINE",
    "OF_SERVER",
    "PEERS",
    "SERVE",
    "SUBNETACT",
    "Figure",
    "faults",
    "live",
    "machine",
    "named",
    "subnetact",
    "write_pictures",
]
