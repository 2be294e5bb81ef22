import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli import supernet
from superserve_cli.errors import BadOption
from superserve_cli.supernet.operations import Convolve
from superserve_cli.supernet.programs import HOT, Programs, pack

NET = supernet.load()
X = torch.randn(3, *NET.architecture.shape, generator=torch.Generator().manual_seed(0))
NARROW = [s for s in NET.subnets if pack(NET, s).bytes]
LARGEST_COPY = max(pack(NET, s).bytes for s in NARROW)


@given(subnet=st.sampled_from(NET.subnets))
def test_a_packed_program_answers_bit_by_bit_as_views_do(subnet: str) -> None:
    with torch.inference_mode():
        assert torch.equal(pack(NET, subnet).program(X), NET.forward(X, subnet))


def test_the_full_subnet_needs_no_copy() -> None:
    assert pack(NET, NET.space.largest).bytes == 0


def test_a_subnet_that_runs_often_is_packed_and_one_that_does_not_is_not() -> None:
    programs = Programs(NET, LARGEST_COPY)
    hot, cold = NARROW[:2]
    for _ in range(HOT):
        assert programs.get(hot) is NET.program(hot)
    programs.get(cold)
    assert programs.get(hot) is not NET.program(hot)
    assert programs.get(cold) is NET.program(cold)


@given(order=st.lists(st.sampled_from(NARROW), min_size=1, max_size=12), room=st.floats(0, 4))
def test_copies_never_take_more_than_the_limit_and_the_last_packed_stays(order: list[str], room: float) -> None:
    programs = Programs(NET, int(room * LARGEST_COPY))
    for subnet in order:
        programs.pack(subnet)
        assert programs.bytes <= programs.limit
    if pack(NET, order[-1]).bytes <= programs.limit:
        assert programs.get(order[-1]) is not NET.program(order[-1])


def test_the_least_recently_used_copy_makes_room() -> None:
    sizes = {s: pack(NET, s).bytes for s in NARROW}
    one, other, third = sorted(NARROW, key=lambda s: sizes[s])[-3:]
    programs = Programs(NET, sizes[other] + sizes[third])
    programs.pack(one, other)
    programs.get(one)
    programs.pack(third)
    assert programs.get(other) is NET.program(other)
    assert programs.get(third) is not NET.program(third)


def test_what_is_not_calibrated_is_refused() -> None:
    missing = dict(list(NET.statistics.items())[1:])
    net = supernet.SuperNet(NET.family, NET.architecture, NET.weights, missing)
    with pytest.raises(BadOption, match="is not calibrated"):
        Programs(net, 0).get(NET.subnets[0])


def test_subnets_that_use_the_same_part_of_a_weight_hold_one_view_of_it() -> None:
    net = supernet.load()
    deep, shallow = (next(op for op in net.program(s).operations if isinstance(op, Convolve)) for s in ("d333-w1-e0.5", "d111-w1-e0.35"))
    assert deep.weight is shallow.weight
