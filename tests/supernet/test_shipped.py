"""The SuperNet that ships, held to what its own description claims."""

from pathlib import Path

import pytest
import torch

from superserve_cli import supernet, tasks
from superserve_cli.supernet import Statistics
from superserve_cli.supernet import plan as plans
from superserve_cli.training import Recipe
from superserve_cli.training.evaluate import correct, front, spread

NET = supernet.load()
TASK = tasks.load(NET.metadata["task"]["name"], NET.metadata["task"]["seed"])
TEST = tuple(map(torch.from_numpy, TASK.test))
MACHINES_DIFFER = 0.002


def test_it_is_at_most_two_megabytes() -> None:
    folder = Path(supernet.__file__).parent / "data"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 2_000_000


def test_it_was_made_by_the_default_recipe() -> None:
    assert NET.metadata["recipe"].items() >= Recipe().to_json().items()
    assert NET.metadata["recipe"]["command"] == "superserve build"
    assert NET.metadata["recipe"]["cpu_s"] <= 150


def test_every_subnet_of_its_space_is_calibrated() -> None:
    assert set(NET.subnets) == set(NET.space.enumerate()) == set(NET.metadata["subnets"])


def test_its_front_is_that_of_its_validation_accuracies() -> None:
    rows = NET.metadata["subnets"]
    assert len(NET.front) >= 6
    assert NET.front == front({s: NET.macs(s) for s in rows}, {s: row["validation"] for s, row in rows.items()})


@pytest.mark.parametrize("end", [0, -1])
def test_its_test_accuracies_are_what_it_claims(end: int) -> None:
    subnet = NET.front[end]
    measured = correct(NET.program(subnet), *TEST).mean()
    assert measured == pytest.approx(NET.metadata["subnets"][subnet]["test"], abs=MACHINES_DIFFER)


def test_the_ends_of_its_front_differ_by_three_standard_errors_at_least() -> None:
    measured = spread([correct(NET.program(s), *TEST) for s in (NET.front[0], NET.front[-1])])
    assert measured.accuracy >= 3 * measured.standard_error
    claimed = NET.metadata["spread"]
    assert claimed["accuracy"] >= 3 * claimed["standard_error"]


def test_one_set_of_statistics_for_all_subnets_would_ruin_the_small_ones() -> None:
    largest, smallest = NET.space.largest, NET.space.smallest
    shared = _borrowed(smallest, largest)
    own = correct(NET.program(smallest), *TEST).mean()
    naive = correct(shared.program(smallest), *TEST).mean()
    assert naive < own - 0.3


def _borrowed(subnet: str, lender: str) -> supernet.SuperNet:
    """The SuperNet with the first channels of one subnet's statistics, layer by layer, in place of another's."""
    lent = dict(_by_layer(lender))
    parts = [[part[: len(own.mean)] for part in lent[name]] for name, own in _by_layer(subnet)]
    return supernet.SuperNet(NET.family, NET.architecture, NET.weights, {subnet: Statistics(*map(torch.cat, zip(*parts, strict=True)))})


def _by_layer(subnet: str) -> list[tuple[str, Statistics]]:
    norms = plans.norms(NET.plan(subnet))
    parts = zip(*(torch.split(part, [norm.channels for norm in norms]) for part in NET.statistics[subnet]), strict=True)
    return [(norm.scale.parameter, Statistics(*part)) for norm, part in zip(norms, parts, strict=True)]
