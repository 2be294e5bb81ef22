import numpy as np

from superserve_cli import tasks
from superserve_cli.tasks.glyphs import GLYPHS, SIZES


def test_the_same_seed_draws_the_same_images_and_another_seed_others() -> None:
    first, again, other = tasks.load("glyphs", 3).test, tasks.load("glyphs", 3).test, tasks.load("glyphs", 4).test
    assert np.array_equal(first.x, again.x)
    assert np.array_equal(first.y, again.y)
    assert not np.array_equal(first.x, other.x)


def test_the_splits_share_no_image() -> None:
    task = tasks.load("glyphs")
    every = [image.tobytes() for split in (task.validation, task.test) for image in split.x]
    assert len(set(every)) == len(every) == SIZES["validation"] + SIZES["test"]


def test_images_are_float32_and_every_sign_comes_about_equally_often() -> None:
    task = tasks.load("glyphs")
    assert task.test.x.dtype == np.float32
    assert task.test.x.shape == (SIZES["test"], *task.shape)
    counts = np.bincount(task.test.y, minlength=task.classes)
    assert task.test.y.dtype == np.int64
    assert counts.min() > 0.6 * counts.mean()
    assert task.classes == len(task.labels) == len(GLYPHS)


def test_no_two_signs_look_alike_on_average() -> None:
    x, y = tasks.load("glyphs").test
    means = np.stack([x[y == sign].mean(axis=0).ravel() for sign in range(len(GLYPHS))])
    apart = np.linalg.norm(means[:, None] - means[None], axis=-1) + 10 * np.eye(len(GLYPHS))
    assert apart.min() > 0.5
