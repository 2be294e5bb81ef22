import pytest

from superserve_cli import supernet
from superserve_cli.errors import BadOption, Unknown
from superserve_cli.supernet.devices import device


def test_an_unknown_family_is_refused_with_those_that_exist() -> None:
    with pytest.raises(Unknown, match="no family 'convv'") as refusal:
        supernet.family("convv")
    assert "conv" in refusal.value.hint


def test_the_built_in_families_are_found_by_name() -> None:
    assert set(supernet.FAMILIES) <= set(supernet.families())
    assert supernet.family("conv")(shape=(1, 16, 16), classes=3).classes == 3


def test_an_unknown_device_and_an_absent_one_are_refused() -> None:
    assert device("cpu").type == "cpu"
    with pytest.raises(Unknown, match="no device 'tpu'"):
        device("tpu")
    with pytest.raises(BadOption, match="there is no device cuda:99"):
        device("cuda:99")
