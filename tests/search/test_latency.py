from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from superserve_cli.core.nouns import Progress
from superserve_cli.errors import BadFile
from superserve_cli.search import table as tables
from superserve_cli.search.between import between
from superserve_cli.search.genes import Genes
from superserve_cli.search.latency import Errors, Latency, latency
from superserve_cli.search.layer import Work, work
from superserve_cli.search.parts import Cost, Parts
from superserve_cli.search.table import Table
from superserve_cli.search.timing import Run, Samples
from superserve_cli.supernet import family
from superserve_cli.supernet.layers import Conv, WeightSlice

HERE = {"device": "cpu", "device_name": "abacus", "threads": 1, "batch_size": 1, "dtype": "float32"}
SCALE = 1.25


def takes_ns(work: Work) -> int:
    return 1000 + work.macs + work.moved


class Laboratory:
    """A device on which a layer takes what it moves and computes, and a whole subnet a quarter more than its layers."""

    def __init__(self) -> None:
        architecture = family("conv")(shape=(1, 8, 8), classes=3, expand=(0.25, 0.35, 0.5))
        self.parts = Parts(architecture, Genes(architecture.space))
        self.truth = Cost(self.parts, takes_ns)
        self.bound: list[str] = []
        self.ns: dict[str, float] = {}

    def bind(self, works: list[Work], subnets: list[str]) -> dict[str, Run]:
        whole = self.truth(self.parts.genes.encode(subnets)) * SCALE
        self.ns = {**{work.key: takes_ns(work) for work in works}, **dict(zip(subnets, whole.tolist(), strict=True))}
        self.bound = [work.key for work in works]
        return dict.fromkeys(self.ns, lambda: None)

    def measure(self, runs: Mapping[str, Run], keep: Callable[[Samples], None], bar: Progress) -> Samples:
        samples = np.array([list(self.ns.values())] * 5).astype(np.int64)
        keep(samples[:1])
        return samples

    def latency(self, known: Table, keep: Callable[[Table], None] = lambda table: None) -> Latency:
        return latency(self.parts, known, self.bind, self.measure, keep=keep)


def test_a_subnet_takes_the_sum_of_its_layers_times_the_factor_of_whole_subnets() -> None:
    lab = Laboratory()
    found = lab.latency(Table(HERE))
    every = lab.parts.genes.all()
    assert found.scale == pytest.approx(SCALE, rel=1e-4)
    assert found(every) == pytest.approx(lab.truth(every) * SCALE / 1e6, rel=1e-4)
    assert found.errors.to_json() == {
        "subnets": len(found.errors.each),
        "median": pytest.approx(0, abs=1e-4),
        "p90": pytest.approx(0, abs=1e-4),
        "within_5_percent": 1.0,
    }
    assert found.interpolated == 0


def test_layers_that_are_known_are_not_measured_again_and_the_table_grows() -> None:
    lab, kept = Laboratory(), list[Table]()
    first = lab.latency(Table(HERE), kept.append)
    assert set(kept[-1].p50_ns) == set(first.table.p50_ns) == set(lab.bound)
    half = dict(list(first.table.p50_ns.items())[::2])
    again = Laboratory()
    second = again.latency(Table(HERE, half, dict.fromkeys(half, 5)))
    assert not set(again.bound) & set(half)
    assert second.table.p50_ns == first.table.p50_ns


def test_an_error_of_a_whole_subnet_is_what_the_others_say_of_it() -> None:
    lab = Laboratory()
    lab.latency(Table(HERE))
    known = Table(HERE, {key: takes_ns(work) for key, work in lab.parts.seen.items()}, dict.fromkeys(lab.parts.seen, 5))
    rows = lab.parts.genes.all()[:3]
    from superserve_cli.search.latency import fitted

    found = fitted(lab.parts, known, rows, lab.truth(rows) * [1.0, 1.0, 2.0])
    assert found.scale == pytest.approx(1.0)
    assert found.errors.each == pytest.approx([0.5, 0.5, 0.5])
    assert Errors(np.array([0.01, 0.02, 0.2])).to_json()["within_5_percent"] == pytest.approx(2 / 3)


def convs(*channels: int) -> list[Work]:
    return [work(Conv(WeightSlice.prefix("w", out, before, 3, 3)), (before, 8, 8)) for out in channels for before in channels]


def test_layers_between_those_measured_follow_the_law_of_their_kind() -> None:
    known, (unknown,) = convs(8, 16, 32, 64), convs(24)

    def law(work: Work) -> float:
        return float(3 * (1 + work.macs) ** 0.8 * (1 + work.held) ** 0.1)

    found = between(known, {work.key: round(law(work)) for work in known})
    assert found(unknown) == pytest.approx(law(unknown), rel=0.02)
    assert np.median(found.errors) < 0.02


def test_a_table_comes_back_from_its_file_and_says_where_it_was_measured(tmp_path: Path) -> None:
    path = tmp_path / "latency.parquet"
    table = Table(HERE, {"relu on 8x4x4": 812, "add of 2 on 8x4x4": 1290}, {"relu on 8x4x4": 9, "add of 2 on 8x4x4": 5})
    tables.save(path, table)
    assert tables.load(path, HERE) == table
    assert len(tables.load(tmp_path / "none.parquet", HERE)) == len(tables.load(None, HERE)) == 0
    with pytest.raises(BadFile, match="threads 1, not 2"):
        tables.load(path, {**HERE, "threads": 2})
    (tmp_path / "text.parquet").write_text("not Parquet")
    with pytest.raises(BadFile, match="not a readable Parquet"):
        tables.load(tmp_path / "text.parquet", HERE)
