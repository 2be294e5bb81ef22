from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.studies.capacity.threshold import largest

NUMBERS = st.integers(-1000, 1000)


@given(edge=NUMBERS, lowest=NUMBERS, more=st.integers(0, 2000), start=st.integers(-3000, 3000), stride=st.integers(1, 50))
def test_it_finds_where_something_stops_to_hold_from_wherever_it_starts(edge: int, lowest: int, more: int, start: int, stride: int) -> None:
    highest, tried = lowest + more, []

    def holds(number: int) -> bool:
        tried.append(number)
        return number <= edge

    found = largest(holds, lowest, highest, start, stride)
    assert found == (None if edge < lowest else min(edge, highest))
    assert all(lowest <= number <= highest for number in tried)
    assert len(tried) == len(set(tried))
    assert len(tried) <= 2 * more.bit_length() + 3


@given(holding=st.sets(st.integers(0, 60)), start=st.integers(0, 60), stride=st.integers(1, 9))
def test_what_it_finds_holds_and_the_next_number_fails_whatever_happens_elsewhere(holding: set[int], start: int, stride: int) -> None:
    found = largest(holding.__contains__, 0, 60, start, stride)
    if found is None:
        assert 0 not in holding
    else:
        assert found in holding
        assert found == 60 or found + 1 not in holding
