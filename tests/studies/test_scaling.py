import numpy as np
import pytest

from superserve_cli import traces
from superserve_cli.core.nouns import ms_to_ns
from superserve_cli.errors import BadOption
from superserve_cli.policies import named
from superserve_cli.profiles import Profile, load
from superserve_cli.studies import scaling
from superserve_cli.studies.scaling import OWN, Cluster, Shared, arrivals, share


def cluster(profile: Profile, workers: int = 8) -> Cluster:
    return Cluster(profile, workers, 5000.0, 1.0, ms_to_ns(36), "drop", (0, 1))


def quiet(done: int, total: int, note: str) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def found() -> list[Shared]:
    whole = cluster(load("modelled").served())
    return share(whole, arrivals(whole), [named("slackfit"), named("infaas")], [1, 4], quiet)


def test_one_router_is_one_way_and_several_are_shared_in_each(found: list[Shared]) -> None:
    assert [(one.routers, one.way) for one in found if one.policy == "infaas"] == [(1, "least-slack"), *[(4, way) for way in scaling.WAYS]]


def test_no_way_passes_the_bound(found: list[Shared]) -> None:
    assert all(one.gap is not None and one.gap >= -1e-9 for one in found)
    assert all(0 < (one.utility or 0) <= one.attainment <= 1 for one in found)


def test_workers_of_their_own_cost_what_the_busiest_router_lacks() -> None:
    """One subnet, one request at a time, workers for exactly what comes on average: shared workers help out, own ones cannot."""
    one = Profile(("a",), (1,), ((ms_to_ns(1),),), (0.5,))
    tight = Cluster(one, 6, 5700.0, 1.0, ms_to_ns(5), "drop", (0,))
    by_way = {(s.routers, s.way): s.attainment for s in share(tight, arrivals(tight), [named("infaas")], [1, 6], quiet)}
    assert by_way[6, "least-slack"] == by_way[1, "least-slack"]
    assert by_way[6, OWN] < by_way[6, "two-choices"] - 0.01


def test_every_request_is_served_by_one_router_when_workers_are_not_shared() -> None:
    three = cluster(load("modelled").served(), workers=8)
    arrived = traces.load("bursty", qps=5000, duration_s=1, seed=0)
    parts = scaling._served(three, arrived, named("infaas"), 3, OWN)
    assert sorted(np.concatenate([part.arrival_ns for part in parts]).tolist()) == arrived.arrival_ns.tolist()
    assert sum(int(part.worker.max()) + 1 for part in parts) <= 8


@pytest.mark.parametrize("routers", [0, 9])
def test_routers_without_workers_are_refused(routers: int) -> None:
    with pytest.raises(BadOption, match=f"{routers} routers for 8 workers"):
        scaling.check([1, routers], 8)


def test_what_is_not_known_of_a_profile_is_not_said_to_be_nothing() -> None:
    nameless = cluster(Profile(("a",), (1,), ((ms_to_ns(1),),), (None,)))
    (one,) = share(nameless, arrivals(nameless), [named("fixed:a")], [1], quiet)
    assert (one.utility, one.gap) == (None, None)
    assert scaling.rows([one])[0][4:] == ("–", "–")
