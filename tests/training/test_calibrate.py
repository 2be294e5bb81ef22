import torch

from superserve_cli import supernet, tasks
from superserve_cli.supernet.extract import extract
from superserve_cli.training.calibrate import BATCH, calibrate

NET = supernet.load()
IMAGES = torch.from_numpy(tasks.load("glyphs").validation.x[: BATCH + 64])
SUBNET = NET.front[1]


def test_the_first_layers_statistics_are_the_mean_and_biased_variance_over_all_images() -> None:
    own = calibrate(NET.plan(SUBNET), NET.weights, [IMAGES[:BATCH]])
    first = extract(NET, SUBNET).get_submodule("0")(IMAGES[:BATCH])
    channels = first.shape[1]
    torch.testing.assert_close(own.mean[:channels], first.mean((0, 2, 3)))
    torch.testing.assert_close(own.variance[:channels], first.var((0, 2, 3), correction=0))


def test_batches_count_by_their_images() -> None:
    together = calibrate(NET.plan(SUBNET), NET.weights, torch.split(IMAGES, BATCH))
    full, rest = (calibrate(NET.plan(SUBNET), NET.weights, [part]) for part in (IMAGES[:BATCH], IMAGES[BATCH:]))
    for whole, a, b in zip(together, full, rest, strict=True):
        torch.testing.assert_close(whole, (BATCH * a + 64 * b) / (BATCH + 64))


def test_the_shipped_statistics_are_those_of_training_images() -> None:
    recipe, task = NET.metadata["recipe"], NET.metadata["task"]
    images = torch.from_numpy(tasks.load(task["name"], task["seed"]).train.x[: recipe["calibration"]])
    for mine, shipped in zip(calibrate(NET.plan(SUBNET), NET.weights, torch.split(images, BATCH)), NET.statistics[SUBNET], strict=True):
        torch.testing.assert_close(mine, shipped, rtol=1e-3, atol=1e-4)
