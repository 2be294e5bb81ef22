"""Golden values by hand for the paper's own policies."""

import pytest

from superserve_cli.core.nouns import Choice
from superserve_cli.policies import compile, named
from superserve_cli.profiles import Profile

#                       s: 1 2 4       m             l
NET = Profile(("s", "m", "l"), (1, 2, 4), ((10, 12, 20), (20, 24, 40), (40, 48, 80)), (0.6, 0.7, 0.8))


@pytest.mark.parametrize(
    ("policy", "by_slack"),
    [
        # of seven buckets of 10 from 10 to 80: s4 keeps 11..20 (with s2), m4 31..40 (with l1), l2 41..50, l4 71..80, s1 shares the first
        ("slackfit:7", {9: None, 19: None, 20: ("s", 4), 39: ("m", 2), 40: ("m", 4), 48: ("l", 2), 79: ("l", 2), 80: ("l", 4)}),
        # s runs one in 10, two in 12, four in 20; then the best that is as large
        ("max-batch", {9: None, 11: ("s", 1), 12: ("s", 2), 19: ("s", 2), 20: ("s", 4), 39: ("s", 4), 40: ("m", 4), 80: ("l", 4)}),
        # s alone from 10, m from 20, l from 40; then as many as fit
        ("max-accuracy", {9: None, 12: ("s", 2), 19: ("s", 2), 20: ("m", 1), 24: ("m", 2), 40: ("l", 1), 48: ("l", 2), 80: ("l", 4)}),
        ("fixed:m", {19: None, 20: ("m", 1), 24: ("m", 2), 39: ("m", 2), 40: ("m", 4), 999: ("m", 4)}),
        ("infaas", {9: None, 10: ("s", 1), 12: ("s", 2), 20: ("s", 4), 999: ("s", 4)}),
        ("infaas:0.7", {19: None, 20: ("m", 1), 999: ("m", 4)}),
    ],
)
@pytest.mark.parametrize("depth", [1, 3, 100])
def test_the_choice_for_a_slack_whatever_the_depth(policy: str, by_slack: dict[int, tuple[str, int] | None], depth: int) -> None:
    table = compile(named(policy), NET, 8)
    assert {slack: table(slack, depth) for slack in by_slack} == {s: c and Choice(*c) for s, c in by_slack.items()}
