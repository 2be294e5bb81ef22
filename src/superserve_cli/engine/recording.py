"""A live engine's calls and answers, kept and taken through another engine again: the decisions must come out equal.

An engine decides from what it was told and from nothing else, so its recording holds all that is needed to explain a decision: the
file of one is `events/1`, a row per call.
"""

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from superserve_cli.core import files
from superserve_cli.core.nouns import Request, Subnet
from superserve_cli.engine.live import Dispatch, Drop, Engine, Wait
from superserve_cli.engine.scaled import AS_PLANNED
from superserve_cli.errors import BadFile, BadOption
from superserve_cli.policies import Policy
from superserve_cli.profiles import Profile

SCHEMA: Final = "events/1"
EVENTS: Final = ("arrive", "complete", "lose", "restore", "cancel", "free", "scale")
ANSWERS: Final = ("dispatch", "drop", "wait", "nothing", "expire")
NAMES: Final = EVENTS + ANSWERS
_CODES: Final = {name: code for code, name in enumerate(NAMES)}
ABSENT: Final = -1
"""A number that a call does not have: null in the file."""
NUMBERS: Final = {
    "time_ns": pa.int64(),
    "asked_ns": pa.int64(),
    "deadline_ns": pa.int64(),
    "size": pa.int32(),
    "worker": pa.int32(),
    "until_ns": pa.int64(),
    "scale": pa.int32(),
}
REQUIRED: Final = {"event": pa.string(), "time_ns": pa.int64(), "requests": pa.list_(pa.int64())}
OPTIONAL: Final = {**NUMBERS, "min_accuracy": pa.float64(), "subnet": pa.string()}
_NEEDS: Final = {
    "arrive": ("deadline_ns", "min_accuracy", "size"),
    **dict.fromkeys(("complete", "lose", "restore", "free"), ("worker",)),
    "scale": ("worker", "scale"),
    **dict.fromkeys(("drop", "nothing", "expire"), ("asked_ns",)),
    "wait": ("asked_ns", "until_ns"),
    "dispatch": ("asked_ns", "worker", "subnet", "size"),
}
_SAYS: Final = {"policy": str, "late": str, "workers": int, "subnets": list, "profile": str}
HINT: Final = "a recording is written by `superserve serve --record`"


class Decided(NamedTuple):
    """A decision as the file has it: an answer, and to `dispatch` the batch (its rows, its requests), to `wait` until when."""

    answer: str
    worker: int = ABSENT
    subnet: Subnet | None = None
    size: int = ABSENT
    until_ns: int = ABSENT
    requests: tuple[int, ...] = ()


def decided(step: Dispatch | Drop | Wait | None) -> Decided:
    """What an engine has answered, as the file has it."""
    if isinstance(step, Dispatch):
        ids = tuple(request.id for request in step.requests)
        return Decided("dispatch", step.worker, step.subnet, step.batch_size, requests=ids)
    if isinstance(step, Drop):
        return Decided("drop", requests=(step.request.id,))
    return Decided("nothing") if step is None else Decided("wait", until_ns=step.until_ns)


class Recorder(Engine):
    """An engine that keeps every call and its answer, some 100 bytes a call; `now_ns` is when a call came, which no decision sees."""

    def __init__(self, profile: Profile, policy: Policy, late: str, workers: int, now_ns: Callable[[], int]) -> None:
        super().__init__(profile, policy, late, workers)
        self._now_ns = now_ns
        self._profile = profile
        self._about = {"policy": policy.name, "late": late, "workers": workers, "subnets": profile.subnets, "profile": _hash(profile)}
        self._at = {subnet: i for i, subnet in enumerate(profile.subnets)}
        self._tape = array("q")
        self._floors = array("d")
        self._ids = array("q")

    def arrive(self, request: Request) -> None:
        """A request joins the queue."""
        floor = request.min_accuracy
        self._note(
            "arrive",
            [request.id],
            request.arrival_ns,
            deadline_ns=request.deadline_ns,
            size=request.size,
            floor=floor,
            subnet=request.subnet,
        )
        super().arrive(request)

    def decide(self, now_ns: int) -> Dispatch | Drop | Wait | None:
        """What to do now."""
        step = super().decide(now_ns)
        answer, worker, subnet, size, until_ns, ids = decided(step)
        self._note(answer, ids, asked_ns=now_ns, worker=worker, subnet=subnet, size=size, until_ns=until_ns)
        return step

    def expire(self, now_ns: int) -> Drop | None:
        """Whom nothing can help; kept when there is somebody."""
        step = super().expire(now_ns)
        if step is not None:
            self._note("expire", [step.request.id], asked_ns=now_ns)
        return step

    def free(self, worker: int) -> None:
        """A worker may be given its next batch."""
        self._note("free", worker=worker)
        super().free(worker)

    def complete(self, worker: int) -> None:
        """A worker has answered a batch."""
        self._note("complete", worker=worker)
        super().complete(worker)

    def scale(self, worker: int, thousandths: int) -> None:
        """A worker is slower than planned, or not any more."""
        self._note("scale", worker=worker, scale=thousandths)
        super().scale(worker, thousandths)

    def lose(self, worker: int) -> list[Request]:
        """A worker is gone."""
        self._note("lose", worker=worker)
        return super().lose(worker)

    def restore(self, worker: int) -> None:
        """A worker is there."""
        self._note("restore", worker=worker)
        super().restore(worker)

    def cancel(self, id: int) -> bool:
        """A request is not wanted any more."""
        self._note("cancel", [id])
        return super().cancel(id)

    def _note(
        self,
        event: str,
        ids: Sequence[int] = (),
        time_ns: int | None = None,
        asked_ns: int = ABSENT,
        deadline_ns: int = ABSENT,
        size: int = ABSENT,
        worker: int = ABSENT,
        until_ns: int = ABSENT,
        scale: int = ABSENT,
        subnet: Subnet | None = None,
        floor: float = np.nan,
    ) -> None:
        when_ns = self._now_ns() if time_ns is None else time_ns
        at = ABSENT if subnet is None else self._at[subnet]
        self._tape.extend((_CODES[event], when_ns, asked_ns, deadline_ns, size, worker, until_ns, scale, at, len(ids)))
        self._floors.append(floor)
        self._ids.extend(ids)

    def recording(self) -> "Recording":
        """All calls so far."""
        names = ("event", *NUMBERS, "subnet", "ids")
        column = dict(zip(names, np.array(self._tape, np.int64).reshape(-1, len(names)).T, strict=True))
        floors = np.array(self._floors)
        numbers = {name: pa.array(column[name], mask=column[name] == ABSENT).cast(kind) for name, kind in NUMBERS.items()}
        subnet = pa.array(column["subnet"].astype(np.int32), mask=column["subnet"] == ABSENT)
        ends = np.append(0, np.cumsum(column["ids"])).astype(np.int32)
        told = {
            "event": pa.DictionaryArray.from_arrays(column["event"].astype(np.int8), pa.array(NAMES)),
            **numbers,
            "min_accuracy": pa.array(floors, mask=np.isnan(floors)),
            "subnet": pa.DictionaryArray.from_arrays(subnet, pa.array(self._profile.subnets, pa.string())),
            "requests": pa.ListArray.from_arrays(ends, np.array(self._ids, np.int64)),
        }
        return Recording(pa.table(told), self._about)


@dataclass(frozen=True)
class Recording:
    """What a live engine was told and what it answered, a row per call in their order, and `about` whom.

    `event` is one of EVENTS, or for a call of decide or expire its answer, one of ANSWERS. `time_ns` is when (of an arrival: when the
    request did), by the server's monotonic clock; `asked_ns` the time that the engine was given, which is later by the overhead.
    `requests` are ids: the one that arrives, is cancelled, dropped or expires, or those of a batch; `size` their rows. `subnet` is what
    a batch runs on, or what the request that arrives is pinned to.
    """

    table: pa.Table
    about: Mapping[str, Any]

    def __len__(self) -> int:
        return len(self.table)

    def decisions(self) -> list[Decided]:
        """Every answer, in order."""
        return [_decided(row) for row in self.table.to_pylist() if row["event"] in ANSWERS]

    def engine(self, profile: Profile, policy: Policy) -> Engine:
        """A fresh engine on the subnets that were served; raises BadOption for another profile."""
        served = profile.only(self.about["subnets"])
        if (here := _hash(served)) != self.about["profile"]:
            raise BadOption(
                f"the run was recorded with profile {self.about['profile'][:12]}, and this one is {here[:12]}",
                hint="name the profile that the server had",
            )
        return Engine(served, policy, self.about["late"], self.about["workers"])


def replayed(recording: Recording, engine: Engine) -> Iterator[Decided]:
    """The decisions of a fresh engine that is told the same; once one differs, what is told after it need make no sense to the engine.

    Raises BadFile where an event makes none: a worker that completes what it never began, a request that nobody could serve.
    """
    for number, row in enumerate(recording.table.to_pylist()):
        try:
            if row["event"] == "expire":
                yield decided(engine.expire(row["asked_ns"]))._replace(answer="expire")
            elif row["event"] in ANSWERS:
                yield decided(engine.decide(row["asked_ns"]))
            else:
                _tell(engine, row)
        except LookupError:
            raise BadFile(f"the recording's row {number}, {row['event']}, makes no sense after those before it", hint=HINT) from None


def first_difference(recording: Recording, engine: Engine) -> tuple[int, Decided, Decided] | None:
    """(its number, as recorded, as it came out) of the first decision that comes out otherwise; None where all are equal."""
    pairs = zip(recording.decisions(), replayed(recording, engine), strict=True)
    return next(((n, then, now) for n, (then, now) in enumerate(pairs) if then != now), None)


def write(path: Path, recording: Recording) -> None:
    """The recording as a file."""
    files.write_table(path, recording.table, SCHEMA, recording.about)


def read(path: Path) -> Recording:
    """The recording of a file; raises BadFile."""
    table, about = files.read_table(path, SCHEMA, REQUIRED, OPTIONAL, HINT)
    if missing := [key for key, kind in _SAYS.items() if not isinstance(about.get(key), kind)]:
        raise BadFile(f"{path} does not say of its run: {', '.join(missing)}", hint=HINT)
    events = table["event"].to_numpy()
    if len(strange := sorted(set(events) - set(NAMES))):
        raise BadFile(f"{path} holds an event {strange[0]!r}", hint=f"known are {', '.join(NAMES)}")
    for event, needed in _NEEDS.items():
        for name in needed:
            if (lacking := table[name].is_null().to_numpy() & (events == event)).any():
                raise BadFile(f"{path}, row {int(lacking.argmax())}: {event} without {name}", hint=HINT)
    return Recording(table, {key: value for key, value in about.items() if key != "schema"})


def _tell(engine: Engine, row: Mapping[str, Any]) -> None:
    event, worker = row["event"], row["worker"]
    if event == "arrive":
        engine.arrive(_request(engine, row))
    elif event == "cancel":
        engine.cancel(row["requests"][0])
    elif event == "scale":
        if row["scale"] < AS_PLANNED:
            raise LookupError
        engine.scale(worker, row["scale"])
    else:
        {"complete": engine.complete, "lose": engine.lose, "restore": engine.restore, "free": engine.free}[event](worker)


def _request(engine: Engine, row: Mapping[str, Any]) -> Request:
    request = Request(row["requests"][0], row["time_ns"], row["deadline_ns"], row["min_accuracy"], row["size"], row["subnet"])
    if request.size < 1 or not engine.able(request):
        raise LookupError
    return request


def _decided(row: Mapping[str, Any]) -> Decided:
    worker, size, until_ns = (ABSENT if row[name] is None else row[name] for name in ("worker", "size", "until_ns"))
    return Decided(row["event"], worker, row["subnet"], size, until_ns, tuple(row["requests"]))


def _hash(profile: Profile) -> str:
    """SHA-256 over all that a decision can depend on: the cells of the served subnets as planning sees them."""
    return files.content_hash(
        pa.table([list(column) for column in zip(*profile.cells(), strict=True)], ["subnet", "size", "plan", "accuracy"])
    )
