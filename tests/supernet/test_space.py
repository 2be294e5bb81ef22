import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.errors import BadOption
from superserve_cli.supernet import Dimension, Space

SPACE = Space((Dimension("d", "depth", (1, 3), 3), Dimension("w", "width", (0.6, 1.0)), Dimension("e", "expand", (0.35, 0.5))))
WIDE = Space((Dimension("k", "kernel", (3, 5, 11), 2), Dimension("e", "expand", (0.2, 0.25), 2)))
spaces = st.sampled_from([SPACE, WIDE])


@given(space=spaces)
def test_every_enumerated_id_names_one_point_and_no_other_has_it(space: Space) -> None:
    every = list(space.enumerate())
    assert len(set(every)) == len(every) == space.size
    assert all(space.parse(subnet).id == subnet for subnet in every)
    assert every[0] == space.smallest
    assert every[-1] == space.largest


@given(space=spaces, seed=st.integers(0, 99))
def test_samples_and_children_lie_in_the_space_and_children_mix_their_parents(space: Space, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = space.sample(2, rng)
    child = space.parse(space.cross(one, other, rng))
    assert {one, other} <= set(space.enumerate())
    for dimension in space.dimensions:
        pairs = zip(space.parse(one)[dimension.name], space.parse(other)[dimension.name], strict=True)
        assert all(value in pair for value, pair in zip(child[dimension.name], pairs, strict=True))


def test_an_id_says_how_each_dimension_is_set() -> None:
    point = SPACE.parse("d131-w0.6-e0.5")
    assert (point["depth"], point["width"], point["expand"]) == ((1, 3, 1), (0.6,), (0.5,))
    assert WIDE.parse("k3_11-e0.2_0.25")["kernel"] == (3, 11)


def test_ids_hold_nothing_that_means_something_in_a_list_or_a_file_name() -> None:
    assert not any(set(subnet) & set(",:/ \\") for space in (SPACE, WIDE) for subnet in space.enumerate())


@pytest.mark.parametrize(
    ("subnet", "complaint", "allowed"),
    [
        ("d121-w0.6-e0.5", "depth is 'd121'", "depth is 'd' and 3 times one of 1, 3"),
        ("d13-w0.6-e0.5", "depth is 'd13'", "depth is 'd' and 3 times one of 1, 3"),
        ("d131-w0.7-e0.5", "width is 'w0.7'", "width is 'w' and one of 0.6, 1"),
        ("d131-x0.6-e0.5", "width is 'x0.6'", "width is 'w' and one of 0.6, 1"),
        ("d131-w0.6-e", "expand is 'e'", "expand is 'e' and one of 0.35, 0.5"),
        ("d131-w0.60-e0.5", "width is 'w0.60'", "width is 'w' and one of 0.6, 1"),
        ("d131-w0.6", "does not have 3 parts", "looks like d333-w1-e0.5"),
        ("", "does not have 3 parts", "looks like d333-w1-e0.5"),
    ],
)
def test_a_refusal_names_the_dimension_and_its_allowed_values(subnet: str, complaint: str, allowed: str) -> None:
    with pytest.raises(BadOption, match=complaint) as refusal:
        SPACE.validate(subnet)
    assert allowed in refusal.value.hint
    assert subnet not in SPACE
