import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli.core import files
from superserve_cli.core.nouns import Request
from superserve_cli.engine import recording
from superserve_cli.engine.recording import Recorder, Recording, first_difference, replayed
from superserve_cli.errors import BadFile, BadOption
from superserve_cli.policies import Policy, named
from superserve_cli.profiles import Profile
from tests.engine.test_live import PATIENT
from tests.engine.test_simulator import SMALL, profile, profiles

LATES = st.sampled_from(["drop", "shed", "serve"])
POLICIES = st.sampled_from([*(named(name) for name in ("slackfit", "max-batch", "max-accuracy", "price")), PATIENT])


def lived(profile: Profile, policy: Policy, late: str, workers: int, seed: int, calls: int = 60) -> Recorder:
    """An engine that has seen all kinds of events at random, as a router tells of them."""
    chance, now_ns = random.Random(seed), 0
    engine = Recorder(profile, policy, late, workers, lambda: now_ns)
    up, batches, ids = set(range(workers)), [0] * workers, 0
    for worker in range(workers):
        engine.restore(worker)
    for _ in range(calls):
        now_ns += chance.choice([0, 1, 5, 20])
        event = chance.choices(["arrive", "complete", "free", "scale", "lose", "restore", "cancel"], [10, 6, 2, 1, 1, 1, 1])[0]
        busy = [worker for worker, count in enumerate(batches) if count]
        if event == "arrive":
            floor, pin = chance.choice([0.0, 0.0, 0.55]), chance.choice([None, None, *profile.subnets])
            if engine.reaches(floor, pin):
                engine.arrive(Request(ids, now_ns, now_ns + chance.randint(1, 90), floor, chance.randint(1, 3), pin))
                ids += 1
        elif event == "complete" and busy:
            batches[worker := chance.choice(busy)] -= 1
            engine.complete(worker)
        elif event == "free" and busy:
            engine.free(chance.choice(busy))
        elif event == "scale":
            engine.scale(chance.randrange(workers), chance.choice([1000, 1000, 1250, 3000]))
        elif event == "lose" and up:
            worker = up.pop()
            engine.lose(worker)
            batches[worker] = 0
        elif event == "restore":
            up.add(worker := chance.randrange(workers))
            engine.restore(worker)
        elif event == "cancel" and ids:
            engine.cancel(chance.randrange(ids))
            continue  # a router decides nothing then
        engine.expire(max(0, now_ns - 20))  # timers may be late; no time is negative
        asked_ns = now_ns + chance.randint(0, 3)
        while (step := recording.decided(engine.decide(asked_ns))).answer in ("dispatch", "drop"):
            if step.answer == "dispatch":
                batches[step.worker] += 1
    return engine


@settings(max_examples=60, deadline=None)
@given(profiles(), POLICIES, LATES, st.integers(1, 3), st.integers(0, 2**32))
def test_a_recorded_run_replays_to_the_same_decisions(profile: Profile, policy: Policy, late: str, workers: int, seed: int) -> None:
    kept = lived(profile, policy, late, workers, seed).recording()
    assert list(replayed(kept, kept.engine(profile, policy))) == kept.decisions()


def test_it_replays_to_the_same_decisions_from_its_file(tmp_path: Path) -> None:
    kept = lived(SMALL, PATIENT, "shed", 2, seed=1, calls=400).recording()
    assert set(kept.table["event"].to_pylist()) == set(recording.NAMES)  # nothing is equal for want of events
    recording.write(tmp_path / "run.parquet", kept)
    again = recording.read(tmp_path / "run.parquet")
    assert again.decisions() == kept.decisions()
    assert first_difference(again, again.engine(SMALL, PATIENT)) is None


def test_nothing_is_a_recording_too(tmp_path: Path) -> None:
    recording.write(tmp_path / "run.parquet", Recorder(SMALL, named("slackfit"), "drop", 1, lambda: 0).recording())
    again = recording.read(tmp_path / "run.parquet")
    assert len(again) == 0
    assert first_difference(again, again.engine(SMALL, named("slackfit"))) is None


def test_a_recorder_decides_as_a_plain_engine_and_tells_what_by_hand_is_told() -> None:
    now_ns = 7
    engine = Recorder(SMALL, named("slackfit"), "drop", 1, lambda: now_ns)
    engine.restore(0)
    engine.arrive(Request(0, 3, 103))
    engine.decide(8)
    engine.decide(8)
    now_ns = 60
    engine.complete(0)
    assert engine.recording().table.select(["event", "time_ns", "asked_ns", "deadline_ns", "worker", "requests"]).to_pylist() == [
        {"event": "restore", "time_ns": 7, "asked_ns": None, "deadline_ns": None, "worker": 0, "requests": []},
        {"event": "arrive", "time_ns": 3, "asked_ns": None, "deadline_ns": 103, "worker": None, "requests": [0]},
        {"event": "dispatch", "time_ns": 7, "asked_ns": 8, "deadline_ns": None, "worker": 0, "requests": [0]},
        {"event": "nothing", "time_ns": 7, "asked_ns": 8, "deadline_ns": None, "worker": None, "requests": []},
        {"event": "complete", "time_ns": 60, "asked_ns": None, "deadline_ns": None, "worker": 0, "requests": []},
    ]


def test_another_policy_decides_otherwise() -> None:
    kept = lived(SMALL, named("slackfit"), "drop", 2, seed=2, calls=200).recording()
    found = first_difference(kept, kept.engine(SMALL, named("max-accuracy")))
    assert found is not None
    assert found[1] != found[2]


def with_column(kept: Recording, name: str, change: Callable[[dict[str, object]], object]) -> Recording:
    rows = kept.table.to_pylist()
    values = pa.array([change(row) for row in rows], kept.table.schema.field(name).type)
    return replace(kept, table=kept.table.set_column(kept.table.column_names.index(name), name, values))


def test_a_changed_event_changes_the_decisions() -> None:
    kept = lived(SMALL, named("slackfit"), "drop", 2, seed=2).recording()
    hurried = with_column(kept, "deadline_ns", lambda row: row["time_ns"] if row["event"] == "arrive" else row["deadline_ns"])
    later = with_column(kept, "asked_ns", lambda row: None if row["asked_ns"] is None else int(str(row["asked_ns"])) + 30)
    for changed in (hurried, later):
        assert first_difference(changed, kept.engine(SMALL, named("slackfit"))) is not None


def test_an_event_that_makes_no_sense_is_refused_with_its_row() -> None:
    kept = lived(SMALL, named("slackfit"), "drop", 1, seed=3, calls=200).recording()
    moved = with_column(kept, "size", lambda row: 5 if row["event"] == "arrive" else row["size"])
    with pytest.raises(BadFile, match=r"row \d+, arrive, makes no sense"):
        list(replayed(moved, kept.engine(SMALL, named("slackfit"))))
    one = with_column(kept, "requests", lambda row: [0] if row["event"] == "arrive" else row["requests"])
    with pytest.raises(BadFile, match="makes no sense after those before it"):
        list(replayed(one, kept.engine(SMALL, named("slackfit"))))


def test_a_scale_below_what_is_planned_is_refused() -> None:
    kept = lived(SMALL, named("slackfit"), "drop", 1, seed=3, calls=400).recording()
    faster = with_column(kept, "scale", lambda row: 500 if row["event"] == "scale" else None)
    with pytest.raises(BadFile, match="scale, makes no sense"):
        list(replayed(faster, kept.engine(SMALL, named("slackfit"))))


def test_a_recording_of_another_profile_is_refused_with_both_hashes() -> None:
    kept = lived(SMALL, named("slackfit"), "drop", 1, seed=3).recording()
    other = profile([(10, 12, 20), (20, 30, 51)], [0.6, 0.8])
    then, now = (lived(known, named("slackfit"), "drop", 1, seed=3).recording().about["profile"][:12] for known in (SMALL, other))
    with pytest.raises(BadOption, match=f"recorded with profile {then}, and this one is {now}"):
        kept.engine(other, named("slackfit"))


def test_files_that_are_no_recordings_are_refused(tmp_path: Path) -> None:
    kept, path = lived(SMALL, named("slackfit"), "drop", 1, seed=3).recording(), tmp_path / "run.parquet"
    for schema in ("events/2", "trace/1"):
        files.write_table(path, kept.table, schema, kept.about)
        with pytest.raises(BadFile, match=f"holds {schema}, not events/1"):
            recording.read(path)
    files.write_table(path, kept.table, recording.SCHEMA, {"policy": "slackfit"})
    with pytest.raises(BadFile, match="does not say of its run: late, workers"):
        recording.read(path)
    recording.write(path, with_column(kept, "worker", lambda row: None))
    with pytest.raises(BadFile, match=r"row \d+: \w+ without worker"):
        recording.read(path)
    strange = kept.table["event"].cast(pa.string())
    strange = pc.replace_substring(strange, "arrive", "appear")
    recording.write(path, replace(kept, table=kept.table.set_column(0, "event", strange)))
    with pytest.raises(BadFile, match="holds an event 'appear'"):
        recording.read(path)
