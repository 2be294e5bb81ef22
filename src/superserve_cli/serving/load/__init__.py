"""An open-loop load generator for any server of the Open Inference Protocol v2, over HTTP or gRPC.

`replay` walks a trace's *intended* schedule: sending never waits for an answer, a request that goes out late carries its lag, and
everything is judged by this side's own clock from the moment when the request should have arrived.

`find` asks the server (`ask_http`, `ask_rpc`) for a `target`; `inputs` chooses rows, `questions` and `rpc_questions` make messages of
them; a `sender` walks the schedule (`pace`) over a `pool` of connections (`http1`, `http2`) and fills a `ledger` from the `answers`;
`processes` are several senders.
"""

from superserve_cli.serving.load.find import describe, wait
from superserve_cli.serving.load.place import OPEN, Access
from superserve_cli.serving.load.replay import LiveRun, replay

__all__ = ["OPEN", "Access", "LiveRun", "describe", "replay", "wait"]
