from pathlib import Path

import pytest

from superserve_cli import supernet
from superserve_cli.errors import BadFile, BadOption
from superserve_cli.supernet import SuperNet
from superserve_cli.supernet.asked import in_words, subnets

NET = supernet.load()
LOST = SuperNet(NET.family, NET.architecture, NET.weights, {}, {"name": "lost"})
PREDICTED = SuperNet(NET.family, NET.architecture, NET.weights, {}, {"predicted": {"subnets": {NET.front[2]: {}}}})


def test_names_ask_for_the_space_the_front_and_its_top() -> None:
    assert set(subnets(NET, "all")) == set(NET.space.enumerate())
    assert subnets(NET, "pareto") == list(NET.front)
    assert subnets(PREDICTED, "pareto") == [NET.front[2]]
    assert subnets(NET, "largest") == [NET.space.largest]
    assert subnets(NET, "2") == [NET.front[0], NET.front[-1]]


def test_without_a_front_a_number_draws_by_the_seed_and_never_leaves_out_the_ends() -> None:
    drawn = subnets(LOST, "7", seed=3)
    assert drawn == subnets(LOST, "7", seed=3) != subnets(LOST, "7", seed=4)
    assert len(set(drawn)) == 7
    assert {NET.space.largest, NET.space.smallest} <= set(drawn)
    assert len(set(subnets(LOST, "30"))) == 30


def test_ids_come_from_the_command_line_or_a_file_each_once(tmp_path: Path) -> None:
    one, other = NET.front[:2]
    assert subnets(NET, f"{one}, {other},{one}") == [one, other]
    (tmp_path / "ids.txt").write_text(f"# the front\n{one}\n\n{other}  # the next\n")
    assert subnets(NET, f"file:{tmp_path / 'ids.txt'}") == [one, other]


@pytest.mark.parametrize(
    ("which", "complaint"),
    [
        ("some", "--subnets is 'some'"),
        ("0", "0 subnets of conv-glyphs"),
        ("11", "11 subnets of conv-glyphs"),
        ("d999-w1-e0.5", "depth is 'd999'"),
        ("", "--subnets is ''"),
    ],
)
def test_what_is_not_there_is_refused(which: str, complaint: str) -> None:
    with pytest.raises(BadOption, match=complaint):
        subnets(NET, which)


def test_a_front_that_nobody_found_and_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="lost has no Pareto front yet"):
        subnets(LOST, "pareto")
    with pytest.raises(BadFile, match="cannot read"):
        subnets(NET, f"file:{tmp_path / 'none.txt'}")
    (tmp_path / "empty.txt").touch()
    with pytest.raises(BadOption, match="no subnet is named"):
        subnets(NET, f"file:{tmp_path / 'empty.txt'}")


def test_all_of_an_astronomical_space_is_refused() -> None:
    large = supernet.family("ofa-resnet50")(shape=(3, 64, 64), classes=2)
    with pytest.raises(BadOption, match=r"ofa-resnet50 has .*e12 subnets, too many"):
        subnets(SuperNet("ofa-resnet50", large, {}, {}), "all")


@pytest.mark.parametrize(
    ("count", "words"), [(32, "32"), (19683, "19,683"), (2_458_914_796_962, "2.5e12"), (21_800_000_000_000_000_000, "2.2e19")]
)
def test_sizes_are_said_in_words(count: int, words: str) -> None:
    assert in_words(count) == words
