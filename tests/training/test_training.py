import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from superserve_cli import supernet, training
from superserve_cli.errors import BadFile, BadOption, Unknown
from superserve_cli.supernet.conv import ConvNet
from superserve_cli.training import checkpoint
from superserve_cli.training.folder import claim
from superserve_cli.training.initial import initial_weights
from superserve_cli.training.recipe import Recipe
from superserve_cli.training.sandwich import batch_of, learning_rate, sandwich
from superserve_cli.training.train import CHECKPOINT_EVERY

LABELS = np.arange(60) % 2
IMAGES = (np.random.default_rng(0).standard_normal((60, 1, 8, 8)) + LABELS[:, None, None, None]).astype(np.float32)


class Interrupt:
    """Progress that somebody stops watching: it presses Ctrl-C after some steps."""

    def __init__(self, after: int) -> None:
        self.after = after

    def __call__(self, done: int, total: int, note: str) -> None:
        if done == self.after:
            raise KeyboardInterrupt


def tiny(**settings: Any) -> ConvNet:
    """A family whose networks train in milliseconds."""
    small = {"widths": (8, 8, 16), "depth": (1,), "width": (0.5, 1.0), "expand": (1.0,)}
    return ConvNet(**{**small, **settings})


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setitem(supernet.FAMILIES, "tiny", tiny)
    np.savez(tmp_path / "tiny.npz", x=IMAGES, y=LABELS)
    return Recipe(family="tiny", task=f"npz:{tmp_path / 'tiny.npz'}", steps=CHECKPOINT_EVERY + 3, batch=8, calibration=16)


@pytest.mark.parametrize(
    ("after", "first_step"),
    [(3, 1), (CHECKPOINT_EVERY + 2, CHECKPOINT_EVERY + 1), (CHECKPOINT_EVERY + 5, CHECKPOINT_EVERY + 4)],
    ids=["before the first checkpoint", "after it", "after the training"],
)
def test_an_interrupted_build_goes_on_to_the_same_supernet(recipe: Recipe, tmp_path: Path, after: int, first_step: int) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        training.build(recipe, path, Interrupt(after))
    seen: list[int] = []
    resumed = training.build(recipe, path, lambda done, total, note: seen.append(done))
    assert resumed.hash == training.build(recipe).hash
    assert seen[0] == first_step


def test_a_build_leaves_the_threads_as_it_found_them(recipe: Recipe) -> None:
    before = torch.get_num_threads()
    training.build(recipe)
    assert torch.get_num_threads() == before


def test_another_seed_builds_another_supernet(recipe: Recipe) -> None:
    assert training.build(recipe).hash != training.build(dataclasses.replace(recipe, seed=1)).hash


def test_what_is_built_survives_its_files_and_knows_where_it_came_from(recipe: Recipe, tmp_path: Path) -> None:
    built = training.build(recipe)
    supernet.save(tmp_path / "net", built)
    again = supernet.load(tmp_path / "net")
    assert again.hash == built.hash
    assert again.metadata["recipe"]["task"] == again.metadata["task"]["name"] == recipe.task
    assert again.metadata["recipe"]["command"] == f"superserve build --family tiny --task {recipe.task} --steps {recipe.steps}"
    assert set(again.metadata["subnets"]) == set(again.subnets) == set(again.space.enumerate())
    assert set(again.front) <= set(again.subnets)


def test_training_learns_what_can_be_learnt(recipe: Recipe) -> None:
    built = training.build(dataclasses.replace(recipe, steps=30))
    x, y = torch.from_numpy(IMAGES), torch.from_numpy(LABELS)
    assert (built.forward(x, built.space.largest).argmax(1) == y).float().mean() > 0.8


def test_images_on_which_the_loss_is_no_number_are_refused(recipe: Recipe, tmp_path: Path) -> None:
    np.savez(tmp_path / "tiny.npz", x=np.where(IMAGES > 0, np.float32(3e38), np.float32(-3e38)), y=LABELS)
    with pytest.raises(BadFile, match="the loss is nan at step 1"):
        training.build(recipe)


def test_a_checkpoint_of_other_images_is_refused(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        training.build(recipe, path, Interrupt(CHECKPOINT_EVERY + 1))
    np.savez(tmp_path / "tiny.npz", x=IMAGES[::-1], y=LABELS)
    with pytest.raises(BadFile, match="was trained on other images"):
        training.build(recipe, path)


def test_a_checkpoint_holds_weights_and_moments_as_plain_tensors(recipe: Recipe, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(KeyboardInterrupt):
        training.build(recipe, path, Interrupt(CHECKPOINT_EVERY + 1))
    parts = {name.partition("/")[0] for name in load_file(path)}
    assert parts == {"weight", "step", "exp_avg", "exp_avg_sq"}


def test_what_a_recipe_names_must_exist() -> None:
    for wrong in (Recipe(family="vit"), Recipe(task="cats"), Recipe(device="tpu")):
        with pytest.raises(Unknown):
            training.build(wrong)
    for wrong_number in ({"steps": 0}, {"seed": -1}):
        with pytest.raises(BadOption):
            Recipe(**wrong_number)  # type: ignore[arg-type]


def test_a_family_has_a_recipe_of_its_own_and_a_command_says_what_differs() -> None:
    usual = Recipe.of("transformer")
    assert usual.steps != Recipe().steps == Recipe.of("conv", steps=None).steps
    assert usual.command == "superserve build --family transformer"
    assert Recipe.of("transformer", steps=Recipe().steps, seed=3).command == "superserve build --family transformer --seed 3 --steps 360"
    assert Recipe.of("conv") == Recipe()


def test_a_folder_is_claimed_when_empty_or_with_an_unfinished_build_of_the_same_recipe(recipe: Recipe, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    path = claim(folder, recipe, overwrite=False)
    assert path.parent == folder
    with pytest.raises(KeyboardInterrupt):
        training.build(recipe, path, Interrupt(CHECKPOINT_EVERY + 1))
    assert claim(folder, recipe, overwrite=False) == path
    with pytest.raises(BadFile, match="an unfinished build of another recipe"):
        claim(folder, dataclasses.replace(recipe, seed=9), overwrite=False)
    claim(folder, dataclasses.replace(recipe, seed=9), overwrite=True)
    assert not path.exists()


def test_a_folder_that_holds_something_is_refused_and_kept(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(BadFile, match="holds something already"):
        claim(tmp_path, recipe, overwrite=False)
    claim(tmp_path, recipe, overwrite=True)
    assert (tmp_path / "letter.txt").read_text() == "dear"
    with pytest.raises(BadFile, match="cannot use"):
        claim(tmp_path / "letter.txt", recipe, overwrite=False)


def test_a_foreign_file_is_no_checkpoint(recipe: Recipe, tmp_path: Path) -> None:
    (tmp_path / checkpoint.NAME).write_bytes(b"text")
    assert not checkpoint.belongs(tmp_path / checkpoint.NAME, recipe)


def test_a_sandwich_is_the_largest_the_smallest_and_two_random_subnets() -> None:
    net = supernet.load().architecture
    largest, smallest, *others = sandwich(net, Recipe(), 5)
    assert (largest, smallest) == (net.space.largest, net.space.smallest)
    assert len(others) == 2
    assert sandwich(net, Recipe(), 5) == [largest, smallest, *others]
    assert any(sandwich(net, Recipe(), step)[2:] != others for step in range(6, 9))


def test_the_largest_subnet_may_learn_alone_before_it_teaches() -> None:
    net, recipe = supernet.load().architecture, Recipe(steps=10, alone=0.3)
    assert [len(sandwich(net, recipe, step)) for step in range(5)] == [1, 1, 1, 4, 4]


def test_an_epoch_shows_every_image_once() -> None:
    recipe = Recipe(batch=5)
    shown = np.concatenate([batch_of(step, recipe, 20) for step in range(4)])
    assert sorted(shown) == list(range(20))
    again = np.concatenate([batch_of(step, recipe, 20) for step in range(4, 8)])
    assert sorted(again) == list(range(20))
    assert shown.tolist() != again.tolist()


def test_the_learning_rate_rises_then_falls_to_nothing() -> None:
    recipe = Recipe(steps=100, warm_up=0.1)
    rates = [learning_rate(step, recipe) for step in range(100)]
    assert rates[9] == max(rates) == recipe.learning_rate
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.001 * recipe.learning_rate


def test_first_weights_fill_every_parameter_and_depend_on_the_seed() -> None:
    net = supernet.load()
    first = initial_weights(net.architecture, 0)
    assert {name: w.shape for name, w in first.items()} == {name: w.shape for name, w in net.weights.items()}
    assert not torch.equal(first["head.weight"], initial_weights(net.architecture, 1)["head.weight"])
