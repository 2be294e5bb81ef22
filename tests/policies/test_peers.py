"""Golden values by hand for the policies of other systems."""

import numpy as np
import pytest

from superserve_cli.core.nouns import NS_PER_S, WAIT, Choice, Choose, ms_to_ns
from superserve_cli.core.outcomes import DROPPED, LATE, MET, REJECTED
from superserve_cli.engine.simulator import simulate
from superserve_cli.errors import SuperserveError
from superserve_cli.policies import Control, Seen, named
from superserve_cli.policies.peers.models import median, peak_qps
from superserve_cli.policies.peers.proteus import plan
from superserve_cli.profiles import Profile
from tests.engine.test_simulator import trace

#                       s: 1 2 4       m             l
NET = Profile(("s", "m", "l"), (1, 2, 4), ((10, 12, 20), (20, 24, 40), (40, 48, 80)), (0.6, 0.7, 0.8))


def control(name: str, slo_ns: int = 100, workers: int = 4) -> Control:
    return named(name).controlled(NET, workers, slo_ns)


def table(name: str, slo_ns: int = 100, mode: int = 0) -> Choose:
    policy = control(name, slo_ns).modes[mode]
    return policy.build(policy.restrict(NET), 4)


def test_the_median_is_the_faster_of_two_at_the_largest_batch() -> None:
    assert median(NET) == "m"
    assert median(NET.only({"s", "l"})) == "s"


def test_what_a_worker_sustains_is_measured_at_the_largest_batch_within_a_time() -> None:
    assert peak_qps(NET, "s", 12) == 2 * NS_PER_S / 12
    assert peak_qps(NET, "s", 9) == 0


def test_clipper_waits_for_its_batch_and_moves_one_size_at_a_time() -> None:
    assert [control("clipper-aimd:s").met, control("clipper-aimd:s").late] == [(1, 2, 2), (0, 0, 1)]
    ask = table("clipper-aimd:s", mode=1)
    assert [ask(50, 1), ask(50, 2), ask(-1, 2), ask(-100, 1), ask(-101, 2)] == [WAIT, *[Choice("s", 2)] * 2, WAIT, None]
    assert table("clipper-aimd")(50, 1) == Choice("m", 1)


def test_clipper_finds_its_batch_by_missing_deadlines() -> None:
    # pairs and fours take 12 and 20, but the SLO is 11: whatever is larger than one is late, and the next is smaller again
    ended = simulate(trace([100 * i for i in range(9)], [11] * 9), NET, named("clipper-aimd:s"), workers=1, slo_ns=11, late="drop")
    assert ended.batch_size.tolist()[:1] == [1]
    together = simulate(trace([0] + [50] * 7, [11] * 8), NET, named("clipper-aimd:s"), workers=1, slo_ns=11, late="drop")
    assert [together.batch_size[0], together.batch_size[1], together.batch_size[3]] == [1, 2, 1]
    assert together.status.tolist()[:3] == [MET, LATE, LATE]


def test_clockwork_runs_full_batches_and_plans_ten_milliseconds_ahead() -> None:
    ask = table("clockwork:s")
    assert [ask(9, 9), ask(11, 9), ask(12, 1), ask(12, 3), ask(20, 3), ask(20, 4)] == [
        None,
        *[Choice("s", 1)] * 2,
        *[Choice("s", 2)] * 2,
        Choice("s", 4),
    ]
    assert control("clockwork").ahead_ns == ms_to_ns(10)
    assert control("clockwork").latest_start


def test_nexus_keeps_its_target_batch_and_drops_heads_that_would_make_it_smaller() -> None:
    # within an SLO of 100 the target is the largest batch in 50: four of s or of m
    ask = table("nexus:m")
    assert [ask(40, 4), ask(39, 5), ask(39, 4), ask(41, 3), ask(40, 3), ask(20, 3), ask(19, 3)] == [
        Choice("m", 4),
        None,  # five wait, so four behind the head can fill the batch
        Choice("m", 2),
        WAIT,
        Choice("m", 4),
        Choice("m", 1),
        None,
    ]
    assert table("nexus:m", slo_ns=50)(24, 2) == Choice("m", 2)
    assert table("nexus:l", slo_ns=50)(40, 1) == Choice("l", 1)


def test_alpaserve_rejects_at_arrival_what_one_after_another_would_not_finish() -> None:
    ended = simulate(trace([0] * 6, [30] * 6), NET, named("alpaserve:s"), workers=1, slo_ns=30)
    assert ended.status.tolist() == [MET, MET, MET, REJECTED, REJECTED, REJECTED]
    assert control("alpaserve:s").admit_ns == 10


def test_proteus_waits_as_long_as_the_batch_of_all_who_wait_allows() -> None:
    ask = table("proteus", mode=1)  # m
    assert [ask(25, 2), ask(24, 2), ask(41, 3), ask(40, 3), ask(500, 4), ask(23, 2), ask(19, 1)] == [
        WAIT,
        Choice("m", 2),
        WAIT,
        Choice("m", 4),
        Choice("m", 4),
        Choice("m", 1),
        None,
    ]


@pytest.mark.parametrize(
    ("demand", "variants"),
    [
        (0, [0, 0, 2]),
        (9.5, [0, 0, 2]),  # 1.05 times is 9.975, and two of l carry 10
        (9.6, [0, 1, 1]),  # 10.08: one of m carries 10, one of l 5
        (15, [0, 2, 0]),  # 15.75: of 20 by two of m; one of s and one of l carry more at less accuracy
        (30, [2, 0, 0]),
        (42, [2, 0, 0]),  # only 0.95 of it can be carried
        (1000, [2, 0, 0]),  # not even 0.2
    ],
)
def test_proteus_plans_the_most_accurate_variants_that_carry_the_demand(demand: float, variants: list[int]) -> None:
    assert plan(np.array([0.6, 0.7, 0.8]), np.array([20.0, 10.0, 5.0]), 2, demand).tolist() == variants


def test_proteus_averages_demand_and_gives_the_first_workers_the_most_accurate_variants() -> None:
    loop = control("proteus", slo_ns=ms_to_ns(1), workers=2)
    assert loop.tick is not None
    assert (loop.first_ns, loop.period_ns) == (NS_PER_S, 20 * NS_PER_S)
    # l sustains 4 in 80 ns; nothing to do: all l; more than everything could carry: all s
    assert loop.tick(Seen(NS_PER_S, 1, 0)) == [2, 2]
    assert loop.tick(Seen(2 * NS_PER_S, 10**12, 0)) == [0, 0]


def test_switching_changes_a_quarter_of_the_workers_at_a_time_and_waits_until_they_have_loaded() -> None:
    tick = control("switching:50", slo_ns=ms_to_ns(1), workers=8).tick
    assert tick is not None
    ms = ms_to_ns(25)
    assert [tick(Seen(n * ms, 0, 0)).count(2) for n in (1, 2, 3, 4, 5)] == [2, 2, 4, 4, 6]
    assert control("switching:50").load_ns == ms_to_ns(50)
    assert control("switching").load_ns == ms_to_ns(100)


def test_infaas_runs_the_least_accurate_subnet_that_reaches_its_floor() -> None:
    assert named("infaas:0.65").restrict(NET).subnets == ("m",)
    assert named("infaas").restrict(NET).subnets == ("s",)
    with pytest.raises(SuperserveError, match=r"no served subnet reaches the accuracy 0\.9"):
        named("infaas:0.9").restrict(NET)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("infaas:x", "no accuracy floor 'x'"),
        ("infaas:78", "no accuracy floor '78'"),
        ("switching:-1", "no loading delay '-1'"),
        ("switching:nan", "no loading delay 'nan'"),
        ("proteus:3", "takes no argument"),
    ],
)
def test_senseless_arguments_are_refused(name: str, says: str) -> None:
    with pytest.raises(SuperserveError, match=says):
        named(name)


@pytest.mark.parametrize("name", ["clockwork:x", "nexus:x", "alpaserve:x", "clipper-aimd:x"])
def test_a_model_that_is_not_served_is_refused(name: str) -> None:
    with pytest.raises(SuperserveError, match="no served subnet 'x'"):
        simulate(trace([0], [10]), NET, named(name), workers=1, slo_ns=10)


def test_floors_are_kept_by_policies_that_give_each_worker_a_model() -> None:
    floors = np.array([0.0, 0.65, 0.75, 0.9] * 10)
    arrived = trace(range(0, 400, 10), [200] * 40)
    asking = type(arrived)(arrived.arrival_ns, slo_ns=arrived.slo_ns, min_accuracy=floors)
    for name in ("proteus", "switching", "clockwork", "nexus"):
        ended = simulate(asking, NET, named(name), workers=2, slo_ns=200, late="drop")
        ran = ended.subnet >= 0
        assert (ended.accuracy[ran] >= floors[ran]).all()
        assert (ended.status[floors > 0.8] == REJECTED).all()
        assert not (ended.status[ran] == DROPPED).any()
