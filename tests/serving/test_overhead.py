import random

from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.serving.overhead import LEAST_NS, Overhead

MS = 1_000_000


def test_what_always_takes_as_long_is_known_exactly() -> None:
    overhead = Overhead()
    for _ in range(200):
        overhead.observe(MS)
    assert MS <= overhead.ns <= 1.01 * MS


def test_nearly_all_batches_take_no_longer() -> None:
    overhead, randomness, longer = Overhead(), random.Random(0), 0
    for _ in range(5000):
        took_ns = round(randomness.expovariate(1 / MS))
        longer += took_ns > overhead.ns
        overhead.observe(took_ns)
    assert longer < 0.15 * 5000


def test_one_long_pause_is_no_overhead() -> None:
    overhead = Overhead(MS)
    overhead.observe(1000 * MS)
    assert overhead.ns < 1.2 * MS


def test_it_fades_when_nothing_runs() -> None:
    overhead = Overhead(50 * MS)
    for _ in range(200):
        overhead.fade()
    assert overhead.ns < 5 * MS


@given(st.lists(st.integers(0, 10**12)))
def test_it_is_never_too_small_to_be_measured_nor_longer_than_what_was_seen(took_ns: list[int]) -> None:
    overhead = Overhead()
    for ns in took_ns:
        overhead.observe(ns)
        assert overhead.ns >= LEAST_NS
    if took_ns:
        assert overhead.ns <= 4 * max(Overhead().ns, *took_ns)
