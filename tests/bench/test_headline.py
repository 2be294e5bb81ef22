from pathlib import Path

import numpy as np
import pytest

from superserve_cli import policies, profiles, supernet, traces
from superserve_cli.bench.headline import direct
from superserve_cli.bench.headline.net import ACCURACIES, images, six
from superserve_cli.core.nouns import ms_to_ns
from superserve_cli.core.outcomes import MET
from superserve_cli.serving.workers.messages import Order
from superserve_cli.supernet import plan as plans


def test_the_papers_six_subnets_are_spread_over_the_whole_range_of_macs() -> None:
    architecture = supernet.family("ofa-resnet50")()
    space = architecture.space
    macs = [plans.macs(architecture.plan(space.parse(subnet)), architecture.shape) for subnet in six(architecture)]
    assert macs == sorted(macs)
    assert (round(macs[0] / 1e9, 3), round(macs[-1] / 1e9, 3)) == (0.962, 7.492)
    assert np.allclose(np.diff(macs), np.diff(macs).mean(), rtol=0.25)
    assert len(ACCURACIES) == 6


def test_a_trace_is_played_at_a_worker_process_once_per_policy() -> None:
    profile, path = profiles.load("modelled"), Path(profiles.__file__).parent / "data" / "modelled.parquet"
    order = Order("superserve_cli.serving.workers.sleep:make", {"profile": str(path), "shape": [4]})
    trace = traces.load("poisson", qps=50, duration_s=0.4, seed=0)
    runs = [(policies.named(name), trace, ms_to_ns(5000)) for name in ("slackfit", f"fixed:{profile.subnets[0]}")]
    played = direct.serve(order, profile.served(), runs, "shed", images((4,)).astype(np.float32))
    for each in played:
        assert each.outcomes.status.tolist() == [MET] * len(trace)
        assert 0 < each.busy < 1
    assert set(played[1].outcomes.subnet.tolist()) == {0}


@pytest.mark.parametrize("shape", [(3, 8, 8), (4,)])
def test_images_vary(shape: tuple[int, ...]) -> None:
    pool = images(shape)
    assert pool.dtype == np.uint8
    assert len(np.unique(pool.reshape(len(pool), -1), axis=0)) == len(pool)
