"""A synthetic stand-in for a sample of Azure Functions: a hundred functions over eight working hours, minute by minute.

Nothing here is Azure's data. The statistics are those published about the trace of 2019 (Shahrad et al., Serverless in the Wild,
USENIX ATC 2020, and counts over public samples of it): a log-normal popularity so wide that one function makes three quarters of
all calls; hot functions that drift slowly; timers that fire together on the first minute of every five; functions that sleep most
of the time; and now and then a flash crowd. Popularity and kind are dealt out evenly and not drawn, because a hundred random
draws would make one seed flat and the next a single burst. What is drawn is when things happen.
"""

from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Rates = NDArray[np.float64]

ABOUT: Final = "SYNTHETIC: generated from published statistics of the Azure Functions trace of 2019; holds none of its data"
FUNCTIONS: Final = 100
FIRST_MINUTE: Final = 480
MINUTES: Final = 480
LOG10_MEAN, LOG10_SD, MOST_A_DAY = 0.70, 1.8, 1e8
"""Calls a day of a function: 10 ** Normal(mean, sd), nothing above the last."""
HOT_SHARE: Final = 0.04
"""A function with more of all calls than this is one of the steady streams: the hottest have minute-to-minute CVs of .02-.15."""
HOUR_OF_DAY: Final = (
    *(0.929, 0.919, 0.916, 0.913, 0.933, 0.962, 0.990, 1.005, 1.003, 1.007, 1.012, 1.030),
    *(1.069, 1.088, 1.076, 1.056, 1.061, 1.075, 1.053, 1.021, 1.003, 0.981, 0.956, 0.942),
)
TIMER_PERIODS: Final = [5, 1, 60, 10, 15, 3, 2, 30]
TIMER_WEIGHTS: Final = [0.17, 0.15, 0.09, 0.06, 0.05, 0.03, 0.03, 0.016]


def minute_rates(rng: Generator) -> Rates:
    """The relative rate of all functions together in each minute (480,), mean 1."""
    calls = popularity()
    share = calls / calls.sum()
    functions = np.stack([_function(rng, rank, s) for rank, s in enumerate(share)])
    together: Rates = share @ functions * _hours()
    return np.asarray(together / together.mean())


def popularity() -> Rates:
    """Calls a day of each function (100,), the most popular first: the evenly spaced quantiles of the fitted distribution."""
    log10 = NormalDist(LOG10_MEAN, LOG10_SD)
    return np.array([min(10 ** log10.inv_cdf((rank + 0.5) / FUNCTIONS), MOST_A_DAY) for rank in reversed(range(FUNCTIONS))])


def _function(rng: Generator, rank: int, share: float) -> Rates:
    rates = _steady(rng) if share > HOT_SHARE else KINDS[rank % len(KINDS)](rng)
    return np.asarray(rates / rates.mean())


def _hours() -> Rates:
    minutes = np.arange(FIRST_MINUTE, FIRST_MINUTE + MINUTES)
    return np.interp(minutes / 60, np.arange(24) + 0.5, HOUR_OF_DAY)


def _steady(rng: Generator) -> Rates:
    """A stream that drifts: log-normal, autocorrelation .9 after a minute and .6 after half an hour."""
    drift = _autoregressive(rng, 0.985) * 0.105
    return np.asarray(np.exp(drift + rng.normal(0, 0.03, MINUTES)))


def _autoregressive(rng: Generator, memory: float) -> Rates:
    value, values = rng.normal(), []
    for shock in rng.normal(0, np.sqrt(1 - memory**2), MINUTES):
        value = memory * value + shock
        values.append(value)
    return np.array(values)


def _timer(rng: Generator) -> Rates:
    """Calls on a period, most of them on the minute that everybody chooses, the first."""
    weights = np.array(TIMER_WEIGHTS)
    period = int(rng.choice(TIMER_PERIODS, p=weights / weights.sum()))
    phase = 1 if rng.random() < 0.5 else int(rng.integers(period))
    return _every(period, phase)


def _fan_out(rng: Generator) -> Rates:
    """Orchestrations that a timer starts every five minutes."""
    return _every(5, 1) * rng.gamma(4, 1 / 4, MINUTES)


def _every(period: int, phase: int) -> Rates:
    return np.asarray(np.arange(MINUTES) % period == phase % period, dtype=np.float64)


def _sleeper(rng: Generator) -> Rates:
    """A queue or workflow that works in episodes of some minutes and is idle three quarters of the time."""
    rates = np.zeros(MINUTES)
    at = -float(rng.exponential(20))
    while at < MINUTES:
        busy = rng.exponential(5)
        rates[max(0, int(at)) : max(0, int(at + busy) + 1)] = rng.gamma(2, 1 / 2)
        at += busy + rng.exponential(15)
    return rates + 1e-3


def _flash(rng: Generator) -> Rates:
    """People at a web page: noisy, and once in a working day a crowd that comes for two or three minutes."""
    rates = rng.gamma(3, 1 / 3, MINUTES)
    crowd = rng.lognormal(np.log(32), 0.2) * np.array([0.5, 1.0, 0.3])
    start = int(rng.integers(MINUTES - len(crowd)))
    rates[start : start + len(crowd)] += crowd
    return rates


KINDS: Final = (_timer, _timer, _flash, _flash, _fan_out, _sleeper, _sleeper)
