"""Queue and decision loop, once: plain Python for the live router (`live`), compiled for the simulator (`simulator`)."""

from superserve_cli.engine.check import check
from superserve_cli.engine.live import Dispatch, Drop, Engine, Wait

__all__ = ["Dispatch", "Drop", "Engine", "Wait", "check"]
