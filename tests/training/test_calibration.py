from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from superserve_cli import supernet, tasks
from superserve_cli.errors import BadFile, BadOption
from superserve_cli.supernet import SuperNet
from superserve_cli.supernet.plan import norms
from superserve_cli.training import part
from superserve_cli.training.calibrate import calibrate
from superserve_cli.training.calibration import Calibration, calibrated, finished, measure, rated
from superserve_cli.training.images import Images, images
from superserve_cli.training.shared import both, shared, worth

NET = supernet.load()
BARE = SuperNet(NET.family, NET.architecture, NET.weights, {}, NET.metadata)
IDS = NET.subnets[:4]
CPU = torch.device("cpu")


def of(net: SuperNet, path: Path, subnets: tuple[str, ...] = IDS, seed: int = 0, batch: int = 16) -> Calibration:
    return Calibration(net, subnets, images(net, "noise", 40, batch, seed), CPU, path / part.NAME)


def all_batches(source: Images) -> torch.Tensor:
    return torch.cat(list(source.batches(CPU)))


def test_statistics_are_those_of_the_images_that_were_asked_for(tmp_path: Path) -> None:
    run = of(BARE, tmp_path)
    found = measure(run, {})
    for subnet in IDS:
        expected = calibrate(NET.plan(subnet), NET.weights, run.images.batches(CPU))
        assert all(map(torch.equal, found[subnet], expected))


class Interrupted(Exception):
    pass


def interrupt(done: int, total: int, note: str) -> None:
    if note == IDS[2]:
        raise Interrupted


def test_what_was_finished_before_an_interruption_is_not_measured_again(tmp_path: Path) -> None:
    run = of(BARE, tmp_path)
    with pytest.raises(Interrupted):
        measure(run, {}, interrupt)
    earlier = finished(run)
    assert tuple(earlier) == IDS[:2]
    measured: set[str] = set()
    found = measure(run, earlier, lambda done, total, note: measured.add(note))
    assert measured == set(IDS[2:])
    run.path.unlink()
    straight = measure(run, {})
    assert all(torch.equal(a, b) for subnet in IDS for a, b in zip(found[subnet], straight[subnet], strict=True))


def test_a_record_that_a_crash_cut_short_is_cut_off_and_the_rest_goes_on(tmp_path: Path) -> None:
    run = of(BARE, tmp_path)
    measure(run, {})
    whole = run.path.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 5):
        run.path.write_bytes(whole[:length])
        kept = finished(run)
        found = measure(run, kept)
        assert len(kept) < len(IDS)
        assert finished(run).keys() == found.keys() == set(IDS)


def test_what_belongs_to_other_images_or_another_supernet_is_refused(tmp_path: Path) -> None:
    measure(of(BARE, tmp_path), {})
    for other, complaint in [
        (of(BARE, tmp_path, seed=1), "another data"),
        (of(BARE, tmp_path, batch=8), "another batch size"),
        (of(NET, tmp_path), "another SuperNet"),
    ]:
        with pytest.raises(BadFile, match=complaint):
            finished(other)
    (tmp_path / part.NAME).write_bytes((8).to_bytes(8, "little") + b"nonsense")
    with pytest.raises(BadFile, match="holds no statistics"):
        finished(of(BARE, tmp_path))


def test_the_metadata_say_where_statistics_come_from(tmp_path: Path) -> None:
    first = of(BARE, tmp_path, IDS[:1])
    once = calibrated(first, measure(first, {}))
    assert {name: once.metadata["statistics"][name] for name in ("data", "images", "batch", "seed", "subnets")} == {
        "data": "noise", "images": 40, "batch": 16, "seed": 0, "subnets": 1,
    }  # fmt: skip
    second = of(once, tmp_path, IDS[1:3], seed=1)
    twice = calibrated(second, measure(second, {}))
    assert twice.subnets == tuple(sorted(IDS[:3], key=NET.space.order))
    assert [entry["seed"] for entry in twice.metadata["statistics"]["earlier"]] == [0]
    assert twice.hash != once.hash != BARE.hash


def test_accuracies_that_were_known_are_measured_anew(tmp_path: Path) -> None:
    cheapest = NET.front[0]
    run = of(NET, tmp_path, (cheapest,))
    task = tasks.load("glyphs")
    fewer = replace(task, make=lambda split: tasks.Split(*(part[:200] for part in task.make(split))))
    again = rated(calibrated(run, measure(run, {})), run.rated, fewer)
    row = again.metadata["subnets"][cheapest]
    assert row["test"] < NET.metadata["subnets"][cheapest]["test"]  # noise has other statistics than glyphs
    assert row["macs"] == NET.metadata["subnets"][cheapest]["macs"]
    assert again.metadata["subnets"][NET.front[1]] == NET.metadata["subnets"][NET.front[1]]
    assert again.metadata["spread"]["images"] == 200


def test_images_are_drawn_by_the_seed_and_fewer_than_asked_for_are_all() -> None:
    few, same, other = (images(NET, "glyphs", 50, 20, seed) for seed in (0, 0, 1))
    assert torch.equal(all_batches(few), all_batches(same))
    assert few.digest == same.digest != other.digest
    assert [len(batch) for batch in few.batches(CPU)] == [20, 20, 10]
    assert images(NET, "glyphs", 10**9, 100, 0).count == len(tasks.load("glyphs").train.y)


def test_noise_is_seeded_and_says_that_it_is_synthetic() -> None:
    noise, other = (images(NET, "noise", 30, 20, seed) for seed in (0, 1))
    assert noise.synthetic
    assert not images(NET, None, 30, 20, 0).synthetic
    assert torch.equal(all_batches(noise), all_batches(noise))
    assert not torch.equal(all_batches(noise), all_batches(other))


def test_a_file_of_images_needs_no_labels(tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((20, 1, 16, 16)).astype(np.float32)
    np.savez(tmp_path / "alone.npz", x=x)
    np.savez(tmp_path / "labelled.npz", x=x, y=np.arange(20) % 2)
    np.savez(tmp_path / "split.npz", x_train=x[:7])
    counts = {name: images(NET, f"npz:{tmp_path / name}.npz", 100, 10, 0).count for name in ("alone", "labelled", "split")}
    assert counts == {"alone": 20, "labelled": 14, "split": 7}
    np.savez(tmp_path / "none.npz", z=x)
    with pytest.raises(BadFile, match="lacks x and x_train"):
        images(NET, f"npz:{tmp_path / 'none.npz'}", 100, 10, 0)


def test_images_of_another_shape_are_refused_and_not_resized(tmp_path: Path) -> None:
    np.savez(tmp_path / "small.npz", x=np.zeros((4, 1, 8, 8), np.float32))
    with pytest.raises(BadOption, match="holds float32 of 1x8x8, but conv-glyphs takes float32 of 1x16x16"):
        images(NET, f"npz:{tmp_path / 'small.npz'}", 100, 10, 0)


def test_a_supernet_that_names_no_task_needs_data() -> None:
    with pytest.raises(BadOption, match="does not say which task it learnt"):
        images(SuperNet(NET.family, NET.architecture, NET.weights, {}), None, 100, 10, 0)


def test_shared_statistics_of_the_largest_subnet_are_its_own() -> None:
    largest, smallest = NET.space.largest, NET.space.smallest
    assert all(map(torch.equal, shared(NET, largest), NET.statistics[largest]))
    cut = shared(NET, smallest)
    stem = norms(NET.plan(smallest))[0].channels
    assert cut.mean.shape == NET.statistics[smallest].mean.shape
    assert torch.equal(cut.mean[:stem], NET.statistics[largest].mean[:stem])


def test_own_statistics_are_worth_much() -> None:
    task = tasks.load("glyphs")
    few = replace(task, make=lambda split: tasks.Split(*(part[:300] for part in task.make(split))))
    narrow, largest = worth(both(NET, [NET.front[0], NET.space.largest], few), few)
    assert narrow.lost > 0.3
    assert largest.lost == 0


def test_without_the_largest_subnets_statistics_there_is_nothing_to_share() -> None:
    with pytest.raises(BadOption, match="has no statistics to share"):
        shared(BARE, IDS[0])
