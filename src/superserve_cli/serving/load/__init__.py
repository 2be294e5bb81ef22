"""An open-loop load generator for any server of the Open Inference Protocol v2, over HTTP.

`replay` walks a trace's *intended* schedule: sending never waits for an answer, a request that goes out late carries its lag, and
everything is judged by this side's own clock from the moment when the request should have arrived.
"""

from superserve_cli.serving.load.replay import LiveRun, replay
from superserve_cli.serving.load.target import describe, wait

__all__ = ["LiveRun", "describe", "replay", "wait"]
