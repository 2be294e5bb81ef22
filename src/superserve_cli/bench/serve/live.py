"""What is measured of the live server, one by one and together."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from superserve_cli.bench.figure import Figure
from superserve_cli.bench.serve.fidelity import fidelity
from superserve_cli.bench.serve.front import front
from superserve_cli.bench.serve.handoff import handoff
from superserve_cli.bench.serve.peers import against_peers
from superserve_cli.bench.serve.rpc import rpc
from superserve_cli.core.nouns import Progress
from superserve_cli.errors import BadOption

PLAIN: Final[dict[str, Callable[[Progress], list[Figure]]]] = {"front": front, "handoff": handoff, "rpc": rpc}
ASKED: Final[dict[str, Callable[[Progress, bool], list[Figure]]]] = {"fidelity": fidelity}
"""These can be asked to be quick, which shows that they work; their figures are then worth nothing."""
SERVE: Final = "serve"
PEERS: Final = "peers"


def live(name: str, progress: Progress, quick: bool, folder: Path | None) -> list[Figure]:
    """One of ASKED, `peers`, or `serve`: all of PLAIN and ASKED, and `peers` where their folder is named; raises BadOption."""
    if name == PEERS and folder is None:
        raise BadOption(
            "bench peers without a folder of other servers", hint="the repository's own are in bench/peers: --peers bench/peers"
        )
    figures = [figure for measure in PLAIN.values() for figure in measure(progress)] if name == SERVE else []
    figures += [figure for each, measure in ASKED.items() if name in (each, SERVE) for figure in measure(progress, quick)]
    return figures if folder is None else figures + against_peers(folder, progress, quick)
