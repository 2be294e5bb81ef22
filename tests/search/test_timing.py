from collections.abc import Callable

import numpy as np
import pytest
import torch

from superserve_cli.search import timing
from superserve_cli.search.genes import Genes
from superserve_cli.search.parts import Parts
from superserve_cli.search.timing import FEWEST_ROUNDS, ROUNDS, Bench, Samples, measure
from superserve_cli.supernet import SuperNet, family
from superserve_cli.supernet.families import parameters
from superserve_cli.supernet.plan import layers
from superserve_cli.supernet.supernet import channels_last


class World:
    """A clock that only runs while something runs, and who ran when."""

    def __init__(self) -> None:
        self.now_ns, self.ran = 0, list[str]()

    def clock_ns(self) -> int:
        return self.now_ns

    def run(self, name: str, takes_ns: int) -> Callable[[], None]:
        def running() -> None:
            self.ran.append(name)
            self.now_ns += takes_ns

        return running


def test_every_run_is_warmed_up_and_then_sampled_once_in_every_round() -> None:
    world = World()
    samples = measure({name: world.run(name, ns) for name, ns in (("a", 5), ("b", 7), ("c", 9))}, seconds=1, clock_ns=world.clock_ns)
    assert samples.tolist() == [[5, 7, 9]] * ROUNDS
    rounds = [world.ran[i : i + 3] for i in range(0, len(world.ran), 3)]
    assert rounds[0] == ["a", "b", "c"]
    assert all(sorted(names) == ["a", "b", "c"] for names in rounds)
    assert len(set(map(tuple, rounds))) > 1


@pytest.mark.parametrize(("seconds", "rounds"), [(12.5, 12), (0.1, FEWEST_ROUNDS)])
def test_it_stops_in_time_but_not_before_a_median_is_worth_something(seconds: float, rounds: int) -> None:
    world = World()
    assert len(measure({"slow": world.run("slow", 10**9)}, seconds=seconds, clock_ns=world.clock_ns)) == rounds


def test_what_was_sampled_is_kept_after_each_round() -> None:
    world, kept = World(), list[Samples]()
    measure({"a": world.run("a", 1)}, seconds=1, keep=kept.append, clock_ns=world.clock_ns)
    assert [len(samples) for samples in kept] == list(range(1, ROUNDS + 1))


def test_nothing_to_measure_takes_no_time() -> None:
    assert measure({}, seconds=1).shape == (0, 0)


def untrained(name: str, **settings: object) -> SuperNet:
    architecture = family(name)(**settings)
    draw = torch.Generator().manual_seed(0)
    weights = {parameter: torch.rand(shape, generator=draw) for parameter, shape in parameters(architecture).items()}
    return SuperNet(name, architecture, channels_last(weights), {})


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("conv", {"shape": (1, 8, 8), "classes": 3, "widths": (8, 8, 8)}),
        ("ofa-mbv3", {"shape": (3, 32, 32), "classes": 3, "widths": (8,) * 9}),
        ("transformer", {"shape": (1, 16, 16), "classes": 3}),
    ],
)
def test_every_layer_of_a_family_and_uncalibrated_subnets_run_on_random_inputs(name: str, settings: dict[str, object]) -> None:
    net = untrained(name, **settings)
    parts = Parts(net.architecture, Genes(net.space))
    parts.collect(parts.genes.extremes)
    bench = Bench(net, batch_size=2)
    runs = {**bench.layers(parts.seen.values()), **bench.subnets([net.space.smallest, net.space.largest])}
    for run in runs.values():
        run()
    assert len(runs) == len(parts.seen) + 2
    kinds = {type(layer).__name__ for layer in layers(net.plan(net.space.largest))}
    assert kinds <= {type(work.layer).__name__ for work in parts.seen.values()}


def test_inputs_are_images_channel_by_channel_in_one_memory() -> None:
    bench = Bench(untrained("conv", shape=(1, 8, 8), classes=3, widths=(8, 8, 8)), batch_size=3)
    image = bench._input((4, 6, 5), 3)
    assert image.shape == (3, 4, 6, 5)
    assert image.is_contiguous(memory_format=torch.channels_last)
    assert bench._input((7,), 2).data_ptr() == image.data_ptr()
    assert np.isfinite(image.numpy()).all()
    assert timing.CALIBRATION >= 1
