import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.errors import BadOption, Unknown
from superserve_cli.profiles import asked

EVERY, FRONT = [f"s{i}" for i in range(20)], [f"s{i}" for i in range(0, 20, 2)]


def test_batch_sizes_are_sorted() -> None:
    assert asked.batch_sizes("4, 1,16") == (1, 4, 16)


@pytest.mark.parametrize("text", ["", "0", "1,,2", "-1", "1.5", "1,2,2", "one", "1e3", "100000", "²"])
def test_batch_sizes_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(BadOption, match="--batch-sizes") as refused:
        asked.batch_sizes(text)
    assert refused.value.hint


@pytest.mark.parametrize("count", [1, 0, -5])
def test_fewer_than_two_rounds_cannot_be_compared(count: int) -> None:
    assert asked.rounds(2) == 2
    with pytest.raises(BadOption, match="--rounds"):
        asked.rounds(count)


def known(subnet: str) -> None:
    if subnet not in EVERY:
        raise Unknown("subnet", subnet, EVERY)


def test_subnets_may_be_named() -> None:
    assert asked.subnets("s3", EVERY, FRONT, known) == ["s3"]
    assert asked.subnets("s7, s3,s7", EVERY, FRONT, known) == ["s7", "s3"]
    with pytest.raises(BadOption, match="--subnets: no subnet 's99'"):
        asked.subnets("s3,s99", EVERY, FRONT, known)


def test_without_a_front_so_many_are_spread_over_all() -> None:
    assert asked.subnets("2", EVERY, [], known) == [EVERY[0], EVERY[-1]]


def test_all_pareto_or_some_of_the_front() -> None:
    assert asked.subnets("all", EVERY, FRONT, known) == EVERY
    assert asked.subnets("pareto", EVERY, FRONT, known) == FRONT
    assert asked.subnets("3", EVERY, FRONT, known) == ["s0", "s8", "s18"]
    assert asked.subnets("10", EVERY, FRONT, known) == FRONT


@pytest.mark.parametrize("which", ["", "none", "0", "-1", "11", "2.5", "²"])
def test_subnets_that_make_no_sense_are_refused(which: str) -> None:
    with pytest.raises(BadOption, match="--subnets") as refused:
        asked.subnets(which, EVERY, FRONT, known)
    assert "all (20), pareto (10)" in refused.value.hint


def test_a_supernet_without_a_front_has_no_pareto_subnets() -> None:
    with pytest.raises(BadOption, match="--subnets"):
        asked.subnets("pareto", EVERY, [], known)


@given(length=st.integers(1, 100), data=st.data())
def test_some_of_many_are_different_in_order_and_reach_both_ends(length: int, data: st.DataObject) -> None:
    many = [f"{i:03d}" for i in range(length)]
    some = asked.spread(many, count := data.draw(st.integers(1, length)))
    assert len(some) == count
    assert some == sorted(set(some))
    assert count == 1 or (some[0], some[-1]) == (many[0], many[-1])
