import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superserve_cli import tasks
from superserve_cli.errors import BadFile, SuperserveError, Unknown
from superserve_cli.tasks.digit_tokens import words

IMAGES = np.random.default_rng(0).random((40, 1, 8, 8))
LABELS = np.arange(40) % 4


def stored(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "own.npz", **arrays)
    return f"npz:{folder / 'own.npz'}"


def test_an_unknown_task_is_refused_with_those_that_exist() -> None:
    with pytest.raises(Unknown, match="no task 'glyhps'") as refusal:
        tasks.load("glyhps")
    assert "glyphs" in refusal.value.hint


def test_the_digits_are_split_by_the_seed_without_overlap() -> None:
    task = tasks.load("digits", 1)
    assert [len(s.y) for s in (task.train, task.validation, task.test)] == [898, 180, 719]
    assert task.shape == (1, 8, 8)
    assert np.array_equal(task.test.x, tasks.load("digits", 1).test.x)
    assert not np.array_equal(task.test.y, tasks.load("digits", 2).test.y)


def test_without_scikit_learn_the_digits_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SuperserveError, match="scikit-learn") as refusal:
        tasks.load("digits")
    assert refusal.value.hint == "pip install superserve-cli[digits]"


def test_own_images_with_splits_come_as_they_are(tmp_path: Path) -> None:
    given = {"x_train": IMAGES, "y_train": LABELS, "x_val": IMAGES[:8], "y_val": LABELS[:8], "x_test": IMAGES[:4], "y_test": LABELS[:4]}
    task = tasks.load(stored(tmp_path, **given))
    assert np.array_equal(task.train.x, IMAGES.astype(np.float32))
    assert np.array_equal(task.test.y, LABELS[:4])
    assert (task.name, task.shape, task.classes) == ("npz-own", (1, 8, 8), 4)


def test_own_images_without_splits_are_divided_by_the_seed(tmp_path: Path) -> None:
    task = tasks.load(stored(tmp_path, x=IMAGES, y=LABELS), 5)
    assert [len(s.y) for s in (task.train, task.validation, task.test)] == [28, 4, 8]
    together = np.concatenate([task.train.x, task.validation.x, task.test.x])
    assert {image.tobytes() for image in together} == {image.tobytes() for image in IMAGES.astype(np.float32)}


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"a": IMAGES}, "lacks x and y"),
        ({"x": IMAGES}, "lacks y"),
        ({"x_train": IMAGES, "y_train": LABELS}, "lacks x_val and y_val"),
        ({"x": IMAGES[:, 0], "y": LABELS}, r"x has the shape \(40, 8, 8\)"),
        ({"x": IMAGES[:, :, :4], "y": LABELS}, "x holds images of 4x8"),
        ({"x": IMAGES.astype(str), "y": LABELS}, "x holds <U"),
        ({"x": np.full_like(IMAGES, np.nan), "y": LABELS}, "x holds NaN"),
        ({"x": IMAGES, "y": LABELS[:5]}, r"y has the shape \(5,\)"),
        ({"x": IMAGES, "y": LABELS + 0.5}, "y holds float64"),
        ({"x": IMAGES, "y": LABELS - 1}, "y holds the class -1"),
        ({"x": IMAGES, "y": LABELS * 0}, "all images are of one class"),
        ({"x": IMAGES[:2], "y": LABELS[:2]}, "2 images, too few to split"),
        ({"x": np.array([{}]), "y": LABELS}, "not a readable .npz file of plain arrays"),
    ],
)
def test_every_mistake_in_own_images_is_named(tmp_path: Path, arrays: dict[str, Any], complaint: str) -> None:
    with pytest.raises(BadFile, match=complaint):
        tasks.load(stored(tmp_path, **arrays))


def test_own_images_of_two_shapes_are_refused(tmp_path: Path) -> None:
    given = {"x_train": IMAGES, "y_train": LABELS, "x_val": IMAGES, "y_val": LABELS, "x_test": IMAGES[:, :, :4, :4], "y_test": LABELS}
    with pytest.raises(BadFile, match="different shapes"):
        tasks.load(stored(tmp_path, **given))


@pytest.mark.parametrize("content", [b"", b"not a zip file", b"PK\x03\x04 cut off"])
def test_a_file_that_is_no_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "own.npz").write_bytes(content)
    with pytest.raises(BadFile, match="not a readable"):
        tasks.load(f"npz:{tmp_path / 'own.npz'}")


def test_a_plain_array_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", IMAGES)
    with pytest.raises(BadFile, match="not a readable"):
        tasks.load(f"npz:{tmp_path / 'one.npy'}")
    with pytest.raises(BadFile, match="there is no"):
        tasks.load(f"npz:{tmp_path / 'none.npz'}")


def test_digit_tokens_are_the_digits_as_words() -> None:
    task, images = tasks.load("digit-tokens", 1), tasks.load("digits", 1)
    assert task.shape == (16,)
    assert task.train.x.dtype == np.int64
    assert [len(s.y) for s in (task.train, task.validation, task.test)] == [898, 180, 719]
    assert np.array_equal(task.test.y, images.test.y)
    assert task.train.x.min() >= 1
    assert task.train.x.max() <= 256


def test_a_word_says_which_patch_it_is_and_which_of_its_pixels_are_dark() -> None:
    image = np.zeros((1, 8, 8))
    image[0, 0, 2:4] = 16  # the upper two pixels of the second patch
    image[0, 7, 7] = 8  # the last pixel of the last patch
    image[0, 7, 6] = 7  # not dark enough
    expected = 1 + 16 * np.arange(16)
    expected[[1, 15]] += (1 + 2, 8)
    assert words(image).tolist() == [expected.tolist()]
