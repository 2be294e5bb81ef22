from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli import traces
from superserve_cli.errors import BadFile, BadOption
from superserve_cli.traces import Mix, Trace

CLASSES = "share,tenant,slo_ms,min_accuracy,size\n3,gold,20,0.79,2\n6,silver,36,,\n1,,,,4\n"


def mix(folder: Path, text: str) -> Mix:
    path = folder / "mix.csv"
    path.write_text(text)
    return traces.read_mix(path)


def test_every_request_is_wholly_of_one_kind_and_each_kind_has_its_share(tmp_path: Path) -> None:
    dealt = traces.load("poisson", qps=20_000, duration_s=1, mix=mix(tmp_path, CLASSES))
    assert dealt.slo_ns is not None
    assert dealt.min_accuracy is not None
    assert dealt.size is not None
    assert dealt.tenant is not None
    seen = list(zip(dealt.tenant.to_pylist(), dealt.slo_ns.tolist(), dealt.min_accuracy.tolist(), dealt.size.tolist(), strict=True))
    kinds = {("gold", 20_000_000, 0.79, 2): 0.3, ("silver", 36_000_000, 0.0, 1): 0.6, (None, 0, 0.0, 4): 0.1}
    assert set(seen) == set(kinds)
    for kind, share in kinds.items():
        assert abs(seen.count(kind) - share * len(seen)) < 5 * np.sqrt(len(seen))


def test_a_mix_leaves_the_arrivals_alone_and_a_seed_decides_it(tmp_path: Path) -> None:
    kinds = mix(tmp_path, CLASSES)
    plain, one, again, other = (
        traces.load("azure", duration_s=1, seed=seed, mix=given) for seed, given in ((1, None), (1, kinds), (1, kinds), (2, kinds))
    )
    assert (plain.arrival_ns == one.arrival_ns).all()
    assert traces.content_hash(one) == traces.content_hash(again) != traces.content_hash(other)


@given(shares=st.lists(st.floats(0.01, 100), min_size=1, max_size=6), seed=st.integers(0, 2**40))
def test_a_request_does_not_change_its_kind_when_more_requests_follow(shares: list[float], seed: int) -> None:
    share = np.array(shares) / sum(shares)
    kinds = Mix(share, Trace(np.zeros(len(share), np.int64), size=np.arange(1, len(share) + 1, dtype=np.int32)))
    few, many = (kinds.dealt(Trace(np.arange(n)), seed).size for n in (20, 50))
    assert few is not None
    assert many is not None
    assert few.tolist() == many[:20].tolist()


def test_the_mean_rows_weigh_sizes_by_share(tmp_path: Path) -> None:
    assert mix(tmp_path, CLASSES).rows == pytest.approx(0.3 * 2 + 0.6 + 0.4)
    assert mix(tmp_path, "share\n1\n").rows == 1


def test_a_trace_remembers_its_mix(tmp_path: Path) -> None:
    dealt = traces.load("poisson", qps=10, duration_s=1, mix=mix(tmp_path, "share,tenant\n3,a\n1,b\n"))
    assert dealt.metadata["mix"] == [{"share": 0.75, "tenant": "a"}, {"share": 0.25, "tenant": "b"}]
    assert traces.load("poisson", qps=10, duration_s=1, mix=mix(tmp_path, "share\n5\n")).metadata["mix"] == [{"share": 1.0}]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("share,slo\n1,20\n", "has a column 'slo'"),
        ("tenant\na\n", "lacks the column share"),
        ("share\n", "holds no kind of request"),
        ("share\n1\n0\n", "line 3: share 0 is not above 0"),
        ("share,tenant\n1,a\n,b\n", "line 3: share nan"),
        ("share\ninf\n", "share inf"),
        ("share\nmost\n", "most"),
        ("share,slo_ms\n1,-5\n", "line 2: slo_ms -5.0 is no SLO"),
        ("share,min_accuracy\n1,79\n", "min_accuracy 79.0 is not in 0..1"),
        ("share,size\n1,0\n", "size 0 is no number of rows"),
        ("share,share\n1,1\n", "has the column 'share' twice"),
    ],
)
def test_a_mix_that_makes_no_sense_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(BadFile, match=complaint) as refused:
        mix(tmp_path, text)
    assert refused.value.hint


def test_a_file_is_replayed_as_it_is_and_takes_no_mix(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("arrival_s\n1\n")
    with pytest.raises(BadOption, match="--mix cannot go with this trace"):
        traces.load(f"file:{tmp_path / 't.csv'}", mix=mix(tmp_path, CLASSES))
