import numpy as np
import pytest

from superserve_cli import policies
from superserve_cli.profiles import Profile
from superserve_cli.serving import described
from superserve_cli.serving.model import Hello, Model

METADATA = {"name": "cpu", "hash": "p", "supernet": "net", "supernet_hash": "s", "device": "cpu", "threads": 1, "dtype": "float32"}
PROFILE = Profile(("small", "large"), (1, 2), ((2, 3), (4, 6)), (0.8, None), metadata=METADATA)
HARDWARE = {"device": "cpu", "threads": 1, "dtype": "float32", "backend": "torch", "versions": {"torch": "2.13"}}
HELLO = Hello(Model("net", "s", (1, 2, 2), 10, "glyphs", 7), HARDWARE)


def said() -> dict[str, object]:
    return described.parameters(HELLO, PROFILE, policies.named("max-batch"), "drop", 2, 36_000_000)


def test_a_model_says_what_a_report_needs() -> None:
    told = {"task": "glyphs", "seed": 7, "supernet": "net", "supernet_hash": "s", "profile": "cpu", "profile_hash": "p", "threads": 1}
    assert told.items() <= said().items()
    assert said()["slo_us"] == 36_000
    assert said()["subnets"] == [{"id": "small", "accuracy": 0.8}, {"id": "large", "accuracy": None}]


def test_a_profile_of_the_same_workers_raises_no_doubt() -> None:
    assert list(described.mismatches(PROFILE, HELLO)) == []


@pytest.mark.parametrize(
    ("metadata", "doubt"),
    [
        ({"supernet_hash": "other"}, "another SuperNet"),
        ({"device": "cuda:0"}, "device cuda:0, this worker has cpu"),
        ({"threads": 4}, "threads 4, this worker has 1"),
        ({"dtype": "bfloat16"}, "dtype bfloat16, this worker has float32"),
        ({"backend": "onnxruntime"}, "backend onnxruntime, this worker has torch"),
    ],
)
def test_a_profile_of_other_workers_is_doubted_in_words(metadata: dict[str, object], doubt: str) -> None:
    other = Profile(PROFILE.subnets, PROFILE.batch_sizes, PROFILE.plan, PROFILE.accuracies, metadata={**METADATA, **metadata})
    (sentence,) = described.mismatches(other, HELLO)
    assert doubt in sentence


def test_a_profile_that_does_not_say_where_it_comes_from_raises_no_doubt() -> None:
    bare = Profile(PROFILE.subnets, PROFILE.batch_sizes, PROFILE.plan, PROFILE.accuracies)
    assert list(described.mismatches(bare, HELLO)) == []
    assert np.isfinite(said()["sustained_qps"])  # type: ignore[call-overload]
