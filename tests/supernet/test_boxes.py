from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.supernet.boxes import Box, grid, size, union

ranges = st.builds(
    lambda start, count, step: range(start, start + count * step, step), st.integers(0, 6), st.integers(1, 5), st.integers(1, 3)
)
several = st.lists(st.tuples(ranges, ranges), min_size=1, max_size=4)


def indices(box: Box) -> set[tuple[int, ...]]:
    return set(product(*box))


@given(boxes=several)
def test_a_union_holds_each_index_once_and_no_other(boxes: list[Box]) -> None:
    united = union(boxes)
    assert set().union(*map(indices, united)) == set().union(*map(indices, boxes))
    assert size(united) == len(set().union(*map(indices, boxes)))


@given(boxes=several)
def test_the_union_of_a_union_is_itself_whatever_the_order(boxes: list[Box]) -> None:
    assert union(boxes[::-1]) == union(boxes)
    assert set().union(*map(indices, union(union(boxes)))) == set().union(*map(indices, boxes))


@given(boxes=several)
def test_a_grid_has_the_indices_of_every_dimension(boxes: list[Box]) -> None:
    for dimension, found in enumerate(grid(boxes)):
        held = [i for r in found for i in r]
        assert sorted(held) == sorted({i for box in boxes for i in box[dimension]})


def test_rows_of_query_key_and_value_are_three_boxes_and_one_grid() -> None:
    rows = [range(4), range(12, 16), range(24, 28)]
    boxes = [(r, range(8)) for r in rows]
    assert union([*boxes, boxes[0]]) == tuple(boxes)
    assert grid(boxes) == (tuple(rows), (range(8),))


def test_a_slice_within_another_adds_nothing() -> None:
    assert union([(range(4), range(2)), (range(8), range(4))]) == ((range(8), range(4)),)
