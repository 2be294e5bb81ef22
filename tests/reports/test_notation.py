import pytest

from superserve_cli.reports import notation


@pytest.mark.parametrize(
    ("share", "text"), [(0.9991, "99.91 %"), (1.0, "100.00 %"), (0.999999, "99.99 %"), (0.0, "0.00 %"), (1e-9, "0.01 %"), (None, "–")]
)
def test_a_share_that_is_neither_nothing_nor_all_never_reads_so(share: float | None, text: str) -> None:
    assert notation.percent(share) == text


@pytest.mark.parametrize(
    ("ms", "text"), [(0.123, "0.12"), (9.996, "10.0"), (58.68, "58.7"), (99.96, "100"), (1234.5, "1,234"), (None, "∞")]
)
def test_times_have_three_digits(ms: float | None, text: str) -> None:
    assert notation.milliseconds(ms) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (999, "999"), (1000, "1k"), (194_121, "194k"), (999_600, "1M"), (12_345_678, "12.3M")]
)
def test_short_counts_have_at_most_five_characters(number: int, text: str) -> None:
    assert notation.short_count(number) == text


def test_an_interval_is_two_shares_or_unknown() -> None:
    assert notation.interval(0.9631, 0.9781) == "96.31–97.81 %"
    assert notation.interval(None, None) == "–"
