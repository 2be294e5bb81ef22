import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from superserve_cli import supernet
from superserve_cli.supernet.card import LISTED, card
from superserve_cli.supernet.files import annotate
from tests.supernet.ofa_nets import TINY_RESNET
from tests.supernet.ofa_nets import supernet as random_net

SHIPPED = supernet.load()
ORIGIN = {"file": "ofa.pt", "sha256": "0" * 64, "format": "ofa-resnet50"}


def imported(**metadata: Any) -> supernet.SuperNet:
    net = random_net("ofa-resnet50", TINY_RESNET)
    largest = {net.space.largest: net.statistics[net.space.largest]}
    return replace(net, statistics=largest, metadata={"name": "tiny", "origin": ORIGIN, **metadata}, _programs={})


def test_the_shipped_supernet_has_its_card() -> None:
    # when the card has changed for good: write what `card(supernet.load(), "")` gives
    assert Path(supernet.__file__).with_name("data").joinpath("README.md").read_text(encoding="utf-8") == card(SHIPPED, "")


def test_the_card_of_an_import_says_where_it_comes_from_and_what_is_left_to_do() -> None:
    said = card(imported(), "my net")
    assert all(f"| {value} |" in said for value in ORIGIN.values())
    assert "Every other subnet has to be calibrated" in said
    assert "superserve calibrate 'my net' --data" in said
    assert "| `e` | expand | 9 | 0 (0.25), 1 (0.5) |" in said
    assert "superserve build" not in said


def test_a_long_front_is_shown_from_end_to_end() -> None:
    ids = TINY_RESNET.space.enumerate()
    front = [next(ids) for _ in range(100)]
    foretold = {subnet: {"accuracy": None if i else 0.75, "latency_ms": float(i)} for i, subnet in enumerate(front)}
    predicted = {"device": "cpu", "batch_size": 4, "accuracy_from": "a table", "subnets": foretold}
    said = card(imported(front=front, predicted=predicted), "net")
    shown = [line for line in said.splitlines() if line.startswith("| `s0-")]
    assert len(shown) == LISTED
    assert front[0] in shown[0]
    assert shown[0].endswith("| MISSING | 75.0 %, 0 ms |")
    assert front[-1] in shown[-1]
    assert shown[-1].endswith("| MISSING | 99 ms |")
    assert "on cpu, in batches of 4" in said


def test_the_card_says_what_calibrated_a_supernet() -> None:
    entry = {"data": "npz:images.npz", "images": 2000, "batch": 200, "seed": 0, "subnets": 1}
    assert "1 from 2,000 images of npz:images.npz" in card(imported(statistics=entry), "net")


@pytest.mark.parametrize("name", ["net", "a|b"])
def test_a_saved_folder_has_a_card_that_follows_its_description(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    supernet.save(folder, imported())
    read = (folder / "README.md").read_text(encoding="utf-8")
    net = supernet.load(folder)
    assert read == card(net, name)
    annotate(folder, net, {"front": [net.space.smallest, net.space.largest]})
    assert json.loads((folder / "supernet.json").read_text())["front"] == [net.space.smallest, net.space.largest]
    assert "2 on the front" in (folder / "README.md").read_text(encoding="utf-8")
