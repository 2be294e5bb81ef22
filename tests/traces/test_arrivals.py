import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.core.nouns import NS_PER_S
from superserve_cli.traces import arrivals

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
