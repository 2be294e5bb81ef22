import numpy as np
import pytest

from superserve_cli.bench.load import CELLS, sink, told
from superserve_cli.serving.load import replay
from superserve_cli.traces.trace import Trace


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_a_sink_answers_every_inference_and_all_that_is_asked_before(scheme: str) -> None:
    with sink(scheme, 100_000) as url:
        run = replay(url, Trace(np.arange(200, dtype=np.int64) * 1_000_000), 5_000_000_000, processes=1)
    assert (run.outcomes.status == 0).all()
    assert run.outcomes.subnets == ("d111-w1-e1",)
    assert run.server["server"] == "sink 1"


def test_a_rate_that_was_not_held_is_absent_and_the_cost_is_not() -> None:
    with sink("http", 10) as url:
        run = replay(url, Trace(np.zeros(3, np.int64)), 5_000_000_000, processes=1)
    held, missed = (told(CELLS[0], rate, run) for rate in (20_000, None))
    assert [figure.verdict for figure in (held[0], missed[0])] == ["met", ""]
    assert held[1:] == missed[1:]
    assert [figure.key for figure in held] == ["http_12kb_qps", "http_12kb_lag_p99_ms", "http_12kb_idle_p99_ms", "http_12kb_cpu_us"]
