"""The sampler in virtual time: what a second's sample says is what happened in that second."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.serving.history import History, quantile
from superserve_cli.serving.metrics import Metrics
from tests.serving.standing import lively

World = Callable[..., Any]


def sampled(world: Any, unix_s: float = 0.0) -> dict[str, Any]:
    world.desk.history.sample(world.clock.now_ns(), unix_s)
    return dict(json.loads(world.desk.history.since(0)[-1]))


@pytest.fixture
def begun(world: World) -> Any:
    server = world()
    server.desk.history.sample(0, 0.0)
    return server


def test_a_sample_counts_its_own_second_and_not_those_before(begun: Any) -> None:
    begun.ask(slo_ms=20)
    begun.ask(slo_ms=1)
    begun.advance(1000)
    first = sampled(begun)
    begun.advance(1000)
    second = sampled(begun)
    assert (first["arrived"], first["met"], first["dropped"], first["accuracy"], first["rows"]) == (2, 1, 1, 0.9, {"large": 1})
    assert (second["arrived"], second["met"], second["dropped"], second["accuracy"], second["rows"]) == (0, 0, 0, None, {})


def test_a_request_has_arrived_when_it_comes_not_when_it_ends(begun: Any) -> None:
    begun.ask(slo_ms=20)
    begun.ask(slo_ms=50)
    begun.advance(3)
    before = sampled(begun)
    begun.advance(100)
    after = sampled(begun)
    assert (before["arrived"], before["met"], before["depth"], before["oldest_ms"]) == (2, 0, 1, 3.0)
    assert (after["arrived"], after["met"], after["depth"], after["oldest_ms"]) == (0, 2, 0, 0.0)


def test_a_late_sample_says_how_long_its_second_was(begun: Any) -> None:
    begun.ask(slo_ms=20)
    begun.advance(1500)
    sample = sampled(begun, unix_s=7.0)
    assert (sample["seconds"], sample["unix_s"], sample["busy"]) == (1.5, 7.0, {"0": 0.004})


def test_workers_are_busy_while_they_have_a_batch(world: World) -> None:
    server = world(workers=2)
    server.desk.history.sample(0, 0.0)
    server.ask(slo_ms=20)
    server.advance(12)
    sample = sampled(server)
    assert (sample["busy"], sample["up"], sample["compute_ms"]) == ({"0": 0.5, "1": 0.0}, 2, 6.0)
    server.links[1].die()
    server.advance(1)
    assert sampled(server)["up"] == 1


def test_only_the_last_samples_are_kept_and_a_client_gets_those_it_has_not_seen() -> None:
    history = History(Metrics(), kept=3)
    for second in range(6):
        history.sample(second * 10**9, float(second))
    numbers = [[json.loads(sample)["number"] for sample in history.since(seen)] for seen in (0, 3, 4, 5, 99)]
    assert history.last == 5
    assert numbers == [[3, 4, 5], [4, 5], [5], [], []]


def test_no_time_no_sample() -> None:
    history = History(Metrics())
    history.sample(5, 0.0)
    history.sample(5, 0.0)
    assert history.last == 0


@given(st.lists(st.integers(1, 12), min_size=2, max_size=6))
def test_every_request_arrives_and_ends_in_exactly_one_sample(world: World, per_second: list[int]) -> None:
    server = world(late="drop")
    server.desk.history.sample(0, 0.0)
    for count in per_second:
        for _ in range(count):
            server.ask(slo_ms=8)
            server.advance(3)
        sampled(server)
    server.advance(100)
    sampled(server)
    samples = [json.loads(text) for text in server.desk.history.since(0)]
    assert sum(sample["arrived"] for sample in samples) == sum(per_second)
    assert sum(sample[ending] for sample in samples for ending in ("met", "late", "dropped", "rejected", "failed")) == sum(per_second)


def test_a_history_of_a_lively_server_has_a_sample_for_each_second(world: World) -> None:
    samples = [json.loads(text) for text in lively(world(), 30).desk.history.since(0)]
    assert [sample["unix_s"] - samples[0]["unix_s"] for sample in samples] == list(range(30))
    assert {sample["arrived"] for sample in samples} == {8}


def test_a_quantile_lies_within_the_bound_that_holds_it() -> None:
    bounds = (1.0, 2.0, 4.0)
    assert quantile(bounds, (0, 0, 0, 0), 0.5) is None
    assert quantile(bounds, (4, 0, 0, 0), 0.5) == 0.5
    assert quantile(bounds, (2, 0, 2, 0), 0.75) == 3.0
    assert quantile(bounds, (0, 0, 0, 1), 0.5) == 4.0


@given(st.lists(st.integers(0, 9), min_size=4, max_size=4).filter(any))
def test_quantiles_rise_with_their_share(counts: list[int]) -> None:
    found = [quantile((1.0, 2.0, 4.0), counts, share) for share in (0.01, 0.5, 0.99, 1.0)]
    assert found == sorted(found, key=lambda value: value or 0.0)
