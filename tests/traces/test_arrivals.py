import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.core.nouns import NS_PER_S
from superserve_cli.traces import arrivals
from superserve_cli.traces.ramp import Ramp

SECONDS = st.floats(0.5, 30)
RATES = st.floats(1, 2000)
SEEDS = st.integers(0, 2**31)


def rng(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def well_formed(times: arrivals.Arrivals, duration_ns: int) -> bool:
    return bool(times.dtype == np.int64 and np.all(np.diff(times, prepend=0, append=duration_ns - 1) >= 0))


def within(count: int, expected: float, variance: float) -> bool:
    return bool(abs(count - expected) <= 6 * np.sqrt(variance) + 3)


@given(qps=RATES, seconds=SECONDS, seed=SEEDS)
def test_a_poisson_process_hits_its_mean_rate(qps: float, seconds: float, seed: int) -> None:
    duration_ns = round(seconds * NS_PER_S)
    times = arrivals.poisson(rng(seed), qps, duration_ns)
    assert well_formed(times, duration_ns)
    assert within(len(times), qps * seconds, qps * seconds)


@given(qps=RATES, seconds=SECONDS, seed=SEEDS, shape=st.lists(st.integers(0, 50), min_size=1, max_size=20).filter(any))
def test_a_shaped_process_hits_the_rate_of_every_bin_and_never_fills_an_empty_one(
    qps: float, seconds: float, seed: int, shape: list[int]
) -> None:
    duration_ns = round(seconds * NS_PER_S)
    times = arrivals.shaped(rng(seed), np.array(shape, dtype=np.float64), qps, duration_ns)
    counts, _ = np.histogram(times, np.linspace(0, duration_ns, len(shape) + 1))
    expected = qps * seconds * np.array(shape) / sum(shape)
    assert well_formed(times, duration_ns)
    assert all(within(int(n), e, e) for n, e in zip(counts, expected, strict=True))
    # an arrival may be rounded down over the edge of a bin, by less than a nanosecond
    assert counts[np.array(shape) == 0].sum() <= 1


@given(qps=RATES, seconds=SECONDS, seed=SEEDS, cv2=st.floats(0, 16), base_share=st.floats(0, 1))
def test_a_bursty_process_hits_its_mean_rate(qps: float, seconds: float, seed: int, cv2: float, base_share: float) -> None:
    duration_ns = round(seconds * NS_PER_S)
    times = arrivals.bursty(rng(seed), qps, duration_ns, cv2, base_share)
    assert well_formed(times, duration_ns)
    # few gaps of a heavy tail are skewed, hence the second term
    assert within(len(times), qps * seconds, qps * (1 - base_share) * seconds * cv2 + 16 * cv2**2)


@given(qps=RATES, seconds=SECONDS, seed=SEEDS)
def test_a_constant_base_has_equal_gaps_and_is_never_more_than_one_off(qps: float, seconds: float, seed: int) -> None:
    duration_ns = round(seconds * NS_PER_S)
    times = arrivals.constant(rng(seed), qps, duration_ns)
    assert well_formed(times, duration_ns)
    assert abs(len(times) - qps * seconds) <= 1
    assert len(times) < 3 or np.ptp(np.diff(times)) <= 1


@pytest.mark.parametrize("cv2", [0.5, 2.0, 8.0])
def test_the_gaps_of_the_gamma_variant_have_the_variation_asked_for(cv2: float) -> None:
    gaps = np.diff(arrivals.gamma(rng(1), 10_000, 30 * NS_PER_S, cv2))
    assert gaps.std() / gaps.mean() == pytest.approx(np.sqrt(cv2), rel=0.03)


def test_a_renewal_process_in_equilibrium_has_no_arrival_too_many() -> None:
    counts = [len(arrivals.gamma(rng(seed), 10, NS_PER_S, 8.0)) for seed in range(4000)]
    # started with a whole gap, the mean would be 13.5
    assert np.mean(counts) == pytest.approx(10, abs=4 * np.std(counts) / np.sqrt(len(counts)))


def test_a_process_of_unit_variation_is_poisson() -> None:
    windows = np.bincount(arrivals.gamma(rng(2), 1000, 100 * NS_PER_S, 1.0) // (NS_PER_S // 10))
    assert windows.var() / windows.mean() == pytest.approx(1, abs=0.15)


RAMPS = st.builds(Ramp, start=st.floats(1, 2000), end=st.floats(1, 2000), acceleration=st.floats(1, 1e5))


def test_a_ramp_expects_the_area_under_its_rate() -> None:
    # two seconds from 100/s to 300/s, mean 200/s, then 300/s
    assert Ramp(100, 300, 100).expected(1) == 150
    assert Ramp(100, 300, 100).expected(5) == 400 + 900
    assert Ramp(300, 100, 100).expected(5) == 400 + 300


@given(ramp=RAMPS, at=st.lists(st.floats(0, 100), min_size=1))
def test_the_time_until_which_a_number_is_expected_is_the_inverse_of_the_number(ramp: Ramp, at: list[float]) -> None:
    counts = np.array([ramp.expected(t) for t in at])
    assert ramp.when(counts) == pytest.approx(np.array(at), rel=1e-6, abs=1e-6)


@given(ramp=RAMPS, seconds=SECONDS, seed=SEEDS, cv2=st.floats(0, 16))
def test_an_accelerating_process_has_the_expected_number_in_each_half(ramp: Ramp, seconds: float, seed: int, cv2: float) -> None:
    duration_ns = round(seconds * NS_PER_S)
    times = arrivals.accelerating(rng(seed), ramp, duration_ns, cv2)
    first = ramp.expected(seconds / 2)
    assert well_formed(times, duration_ns)
    for count, expected in ((int((times < duration_ns // 2).sum()), first), (len(times), ramp.expected(seconds))):
        assert within(count, expected, expected * cv2 + 16 * cv2**2)


def test_without_variation_an_accelerating_process_is_its_expected_number_to_one() -> None:
    times = arrivals.accelerating(rng(3), Ramp(100, 300, 100), 5 * NS_PER_S, 0.0)
    assert [int((times < t * NS_PER_S).sum()) for t in (1, 2, 5)] == pytest.approx([150, 400, 1300], abs=1)


@pytest.mark.parametrize("cv2", [0.5, 8.0])
def test_the_gaps_of_an_accelerating_process_have_the_variation_asked_for_in_operational_time(cv2: float) -> None:
    ramp = Ramp(2500, 7400, 250)
    seconds = arrivals.accelerating(rng(4), ramp, 60 * NS_PER_S, cv2) / NS_PER_S
    gaps = np.diff([ramp.expected(t) for t in seconds])
    assert gaps.mean() == pytest.approx(1, rel=0.03)
    assert gaps.std() == pytest.approx(np.sqrt(cv2), rel=0.03)
