import pytest

from superserve_cli import profiles
from superserve_cli.core.nouns import ms_to_ns


@pytest.mark.parametrize("name", profiles.shipped())
def test_every_shipped_profile_loads_and_says_what_it_is(name: str) -> None:
    assert "unknown" not in profiles.load(name).about


def test_the_modelled_profile_is_its_formula() -> None:
    modelled = profiles.load("modelled")
    for subnet, g in zip(modelled.subnets, (0.93, 1.9, 2.5, 3.6, 5.0, 7.5), strict=True):
        assert [modelled.plan_ns(subnet, b) for b in (1, 2, 4, 8, 16)] == [
            ms_to_ns(0.9 + 0.175 * g + 0.24 * g * b) for b in (1, 2, 4, 8, 16)
        ]
    assert modelled.accuracies == (0.7382, 0.7669, 0.7764, 0.7825, 0.7944, 0.8016)
    assert "not measured" in modelled.about


def test_the_flat_modelled_profile_is_its_formula() -> None:
    flat = profiles.load("modelled-flat")
    for subnet, c in zip(flat.subnets, (10500, 7900, 7500, 7000, 5600, 3600), strict=True):
        assert [flat.plan_ns(subnet, b) for b in (1, 2, 4, 8, 16)] == [ms_to_ns(2 + (128000 / c - 2) * b / 16) for b in (1, 2, 4, 8, 16)]
        # eight workers at batch 16 sustain c requests/s
        assert 8 * 16 * 1e9 / flat.plan_ns(subnet, 16) == pytest.approx(c, rel=1e-6)
    assert flat.accuracies == profiles.load("modelled").accuracies
    assert "not measured" in flat.about
