from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from superserve_cli.core.nouns import Progress, silent
from superserve_cli.core.outcomes import Outcomes
from superserve_cli.errors import BadOption
from superserve_cli.serving.load import processes as several
from superserve_cli.serving.load.find import find
from superserve_cli.serving.load.inputs import draw
from superserve_cli.serving.load.ledger import Ledger
from superserve_cli.serving.load.pace import Clock, quiet
from superserve_cli.serving.load.place import OPEN, Access
from superserve_cli.serving.load.sender import WENT, Part, Sender, Sent, Tell
from superserve_cli.tasks import Split
from superserve_cli.traces.trace import Trace

CONNECTIONS: Final = 900
"""The most that are opened: what the usual limit of 1024 open files leaves."""
GRACE_S: Final = 10.0


@dataclass(frozen=True)
class LiveRun:
    """What became of a trace on a live server, and whether to believe it.

    `server` is what the server says of its model (see `describe`); `valid` is false when the generator could not keep the schedule
    (lag p99 above 5 ms and above 10 % of the SLO), when the target went away or a sending process died, or when more than 1 % of
    the requests failed, and `problems` says so; `complaints` counts the refusals and failures by their text, `connections` those
    that were opened, `cpu_ns` what sending cost the `processes` together.
    """

    outcomes: Outcomes
    server: dict[str, Any]
    lag_p99_ns: int
    idle_lag_ns: int
    problems: list[str]
    complaints: Mapping[str, int]
    connections: int
    processes: int
    cpu_ns: int

    @property
    def valid(self) -> bool:
        """No rule of a valid run was broken."""
        return not self.problems


def replay(
    target: str,
    trace: Trace,
    slo_ns: int,
    samples: Split | None = None,
    *,
    model: str | None = None,
    inputs: Path | None = None,
    access: Access = OPEN,
    processes: int | None = None,
    connections: int = CONNECTIONS,
    grace_s: float = GRACE_S,
    progress: Progress = silent,
) -> LiveRun:
    """Send a trace to a live server on its intended schedule, and judge every answer by this side's clock.

    `samples` are sent in a shuffled order that is always the same, and compared with the answers' largest outputs; without them the
    rows of the file `inputs`, or random ones, always the same too. At most `connections` are opened at once, by `processes` (by
    default as many as the trace's rate needs); an answer may still come, and be called late, until `grace_s` after the last
    deadline. Raises Unreachable before the run; a target that dies in it leaves a run that is not valid.
    """
    if connections < 1:
        raise BadOption(f"{connections} connections are too few", hint="allow at least one")
    if processes is not None and processes < 1:
        raise BadOption(f"{processes} processes are too few", hint="give at least one, or leave --processes out")
    found = find(target, model, access)
    asked = draw(found, trace, samples, inputs)
    part = Part(found, access, trace, slo_ns, asked, connections, grace_s)
    count = processes or several.enough(trace, asked.bytes_each)
    run = _from_here if count == 1 else _from_several
    ledger, sent, idle_ns, died = run(part, count, lambda ended, met: progress(ended, len(trace), f"{met} in time"))
    progress(ledger.ended, len(trace), f"{ledger.met} in time")
    gone = any(one.gone for one in sent)
    return LiveRun(
        outcomes=ledger.outcomes(),
        server=found.description,
        lag_p99_ns=ledger.lag_p99_ns(),
        idle_lag_ns=idle_ns,
        problems=[*([WENT] if gone else []), *died, *ledger.problems(idle_ns, sum(one.waited for one in sent))],
        complaints=dict(ledger.failures + ledger.refusals),
        connections=sum(one.opened for one in sent),
        processes=count,
        cpu_ns=sum(one.cpu_ns for one in sent),
    )


def _from_here(part: Part, _: int, tell: Tell) -> tuple[Ledger, list[Sent], int, list[str]]:
    """Without another process; nothing is copied."""
    sender = Sender(part)
    with closing(sender.pool), quiet():
        idle_ns = sender.prepare()
        sent = sender.run(Clock.started(), tell)
    return sender.ledger, [sent], idle_ns, []


def _from_several(part: Part, processes: int, tell: Tell) -> tuple[Ledger, list[Sent], int, list[str]]:
    ledger = Ledger(part.trace, part.slo_ns)
    shares, idle_ns, clock = several.send(part, ledger, processes, tell)
    died = f"{len(shares.died)} of {processes} sending processes died (exit code {', '.join(map(str, shares.died))})"
    ledger.close(clock.now_ns(), "its sending process died")
    return ledger, shares.sent, idle_ns, [died] if shares.died else []
