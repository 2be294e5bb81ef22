import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from superserve_cli import supernet
from superserve_cli.app import run
from superserve_cli.bench import pictures
from superserve_cli.bench.in_place import Compared, compare, in_place
from superserve_cli.bench.memory import curve
from superserve_cli.bench.subnetact import Measured
from superserve_cli.supernet.extract import extract

NET = supernet.load()


def test_the_memory_of_extracted_models_is_what_their_tensors_take() -> None:
    subnets = NET.subnets[:5]
    held = [sum(t.nbytes for name, t in extract(NET, s).state_dict().items() if not name.endswith("num_batches_tracked")) for s in subnets]
    memory = curve(NET, subnets)
    assert list(memory.extracted) == np.cumsum(held).tolist()


def test_each_further_subnet_costs_a_supernet_its_statistics_only() -> None:
    memory = curve(NET, NET.subnets)
    for subnet, (before, after) in zip(NET.subnets[1:], pairwise(memory.shared), strict=True):
        assert after - before == sum(part.nbytes for part in NET.statistics[subnet])


def test_a_round_runs_every_way_of_every_subnet_once() -> None:
    runs = {(way, subnet): 0 for way in "ab" for subnet in ("s", "t", "u")}

    def counted(way: str, subnet: str) -> object:
        runs[way, subnet] += 1
        return None

    ways = {way: [lambda w=way, s=subnet: counted(w, s) for subnet in ("s", "t", "u")] for way in "ab"}
    compared = compare(("s", "t", "u"), ways, rounds=4)
    assert len(set(runs.values())) == 1
    assert compared.seconds["a"].shape == (4, 3)


def test_a_ratio_is_taken_within_each_round_so_that_a_slow_round_cancels_out() -> None:
    slow = np.array([[1.0], [10.0], [1.0]])
    compared = Compared(("s",), {"views": 3 * slow, "extracted": slow})
    assert compared.ratio("views", "extracted") == pytest.approx(3)


def test_in_place_views_packed_and_extracted_are_all_timed() -> None:
    compared = in_place(NET, NET.front[:2], rounds=2)
    assert set(compared.seconds) == {"views", "packed", "extracted"}
    assert all((times > 0).all() for times in compared.seconds.values())


def test_the_pictures_name_what_they_compare(tmp_path: Path) -> None:
    memory = curve(NET, [NET.subnets[i % len(NET.subnets)] for i in range(40)])
    times = {way: np.full((2, 3), 0.01) for way in ("views", "packed", "extracted", "whole", "static")}
    compared = Compared(("s", "t", "u"), times)
    paths = pictures.write_pictures(tmp_path, Measured([], memory, compared, compared))
    assert [path.name for path in paths] == ["memory.svg", "latency.svg"]
    assert re.search(r"at 40<", paths[0].read_text())
    assert "whole SuperNet" in paths[1].read_text()


def test_options_that_a_benchmark_does_not_take_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", "decide", "--device", "cuda:0"]) == 2
    assert "bench decide takes no --device (these do: subnetact, headline)" in " ".join(capsys.readouterr().err.split())
    assert run(["bench", "subnetact", "--device", "tpu"]) == 2


@pytest.mark.parametrize(
    ("option", "value", "says"), [("--device", "abacus", "no device 'abacus'"), ("--out", "a-file", "cannot write to")]
)
def test_what_the_headline_cannot_do_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, value: str, says: str
) -> None:
    (tmp_path / "a-file").touch()
    given = str(tmp_path / value) if option == "--out" else value
    assert run(["bench", "headline", "--quick", option, given]) == 2
    assert says in capsys.readouterr().err
