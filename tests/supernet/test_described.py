from dataclasses import replace

import pytest
import torch

from superserve_cli import supernet
from superserve_cli.supernet import SuperNet, described
from superserve_cli.supernet.families import parameters

NET = supernet.load()
LARGEST = NET.space.largest


def with_statistics(*subnets: str, **metadata: object) -> SuperNet:
    return replace(NET, statistics={subnet: NET.statistics[subnet] for subnet in subnets}, metadata=metadata, _programs={})


def test_memory_is_that_of_weights_and_statistics_against_extracted_copies() -> None:
    held = described.memory(NET)
    assert held.weights == sum(tensor.nbytes for tensor in NET.weights.values())
    assert held.statistics == sum(part.nbytes for own in NET.statistics.values() for part in own)
    assert held.extracted == 4 * sum(map(NET.params, NET.subnets))
    assert held.ratio > 5


def test_the_facts_say_what_each_dimension_may_be_and_how_an_id_writes_it() -> None:
    facts = dict(described.facts(NET))
    assert facts["depth"] == "'d' and 3 times one of 1, 3"
    assert facts["subnets"] == "32 in the space, 10 on the front"
    large = supernet.family("ofa-resnet50")(shape=(3, 64, 64), classes=2)
    weights = {name: torch.zeros(shape) for name, shape in parameters(large).items()}
    facts = dict(described.facts(SuperNet("ofa-resnet50", large, weights, {})))
    assert facts["subnets"] == "2.5e12 in the space, none on the front"
    assert facts["expand"].startswith("'e' and 18 times one of 0 (0.2), 1 (0.25), 2 (0.35)")
    assert facts["statistics"].startswith("none")


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (NET, "of 32 subnets: 32 from the training"),
        (with_statistics(LARGEST, origin={"file": "ofa.pth"}), "of the largest subnet only: 1 from the checkpoint"),
        (
            with_statistics(*NET.front[:3], origin={}, statistics={"data": "noise", "images": 2000, "subnets": 2}),
            "of 3 subnets: 2 from 2,000 images of noise (synthetic: good for latency only), 1 from the checkpoint",
        ),
    ],
)
def test_statistics_say_where_they_come_from(net: SuperNet, said: str) -> None:
    assert described.statistics(net) == said


def test_served_subnets_without_statistics_are_warned_of() -> None:
    lost = with_statistics(LARGEST, front=list(NET.front))
    assert described.missing(lost) == list(NET.front[:-1])
    (warning,) = described.warnings(lost, "net")
    assert "9 of the 10 subnets on the front have no SubnetNorm statistics" in warning
    assert "and 6 more" in warning
    (warning,) = described.warnings(with_statistics(LARGEST), "net")
    assert "only the largest subnet has SubnetNorm statistics" in warning
    assert described.warnings(NET, "net") == []


def test_a_predicted_front_is_shown_with_what_was_predicted() -> None:
    one, other = NET.front[:2]
    predicted = {"device": "cpu", "subnets": {one: {"accuracy": 0.9, "latency_ms": 1.25}, other: {"accuracy": 0.95, "latency_ms": 2.5}}}
    net = with_statistics(one, predicted=predicted)
    columns, rows = described.rows(net, [one, other])
    assert columns == ("front", "M MACs", "params", "statistics", "predicted")
    assert [row[3:] for row in rows] == [("", "90.0 %, 1.25 ms"), ("MISSING", "95.0 %, 2.5 ms")]
    assert dict(described.facts(net))["predicted"] == "2 subnets on cpu at batch size 1"


def test_the_data_are_numbers_beside_the_description() -> None:
    found = described.data(NET)
    assert (found["size"], found["memory"]["subnets"], found["missing"]) == (32, 32, [])
    assert found["hash"] == NET.hash
