import pytest

from superserve_cli.studies.reproduction import claims, measures
from superserve_cli.studies.reproduction.cells import Cell
from superserve_cli.studies.reproduction.claims import Claim, Seen
from superserve_cli.studies.reproduction.measures import Figure, Mean, Setting, accuracy_gain, attainment_factor
from superserve_cli.studies.reproduction.results import overall

FIXED = {"fixed:s": 0.70, "fixed:m": 0.75, "fixed:l": 0.80}


def mean(attainment: float, accuracy: float | None = None, offered_qps: float = 1.0) -> Mean:
    return Mean(attainment, accuracy, None, None, None, None, None, offered_qps)


ROW = {
    "slackfit": mean(1.0, 0.78),
    "infaas": mean(1.0, 0.70),
    "fixed:s": mean(1.0, 0.70),
    "fixed:m": mean(0.99995, 0.75),
    "fixed:l": mean(0.40, 0.80),
    "max-batch": mean(1.0, 0.79),
}


def test_accuracy_at_equal_attainment_is_against_the_most_accurate_baseline_that_attains_as_much() -> None:
    gain = accuracy_gain(ROW, "slackfit")
    assert gain.value == pytest.approx(3.0)
    assert "fixed:m" in gain.note


def test_a_baseline_that_attains_less_than_epsilon_below_ours_does_not_count() -> None:
    gain = accuracy_gain({**ROW, "fixed:m": mean(0.9998, 0.75)}, "slackfit")
    assert gain.value == pytest.approx(8.0)


def test_attainment_at_equal_accuracy_is_against_the_best_subnet_that_is_as_accurate() -> None:
    factor = attainment_factor(ROW, "slackfit", FIXED)
    assert factor.value == pytest.approx(1 / 0.40)
    assert "fixed:l" in factor.note


def test_a_subnet_a_tenth_of_a_point_below_counts_as_equally_accurate() -> None:
    row = {**ROW, "slackfit": mean(1.0, 0.7509)}
    assert attainment_factor(row, "slackfit", FIXED).value == pytest.approx(1 / 0.99995)
    assert attainment_factor({**ROW, "slackfit": mean(1.0, 0.7511)}, "slackfit", FIXED).value == pytest.approx(2.5)


def test_nothing_is_compared_where_ours_does_not_attain_all_but_a_ten_thousandth() -> None:
    row = {**ROW, "slackfit": mean(0.99989, 0.78)}
    assert accuracy_gain(row, "slackfit").value is None
    factor = attainment_factor(row, "slackfit", FIXED)
    assert factor.value is None
    assert factor.note == "not compared, it attains 99.989 % (at 78.00 %, 99.99 % against 40.00 % of fixed:l)"


def test_a_figure_over_cells_says_where_it_was_found_and_how_many_could_not_be_compared() -> None:
    figures = {"a": Figure(2.0, "x"), "b": Figure(1.0, ""), "c": Figure(None, "why")}
    assert measures.worst(figures) == Figure(1.0, "in 2 of 3 cells; b")
    assert measures.best(figures) == Figure(2.0, "in 2 of 3 cells; a: x")
    assert measures.worst({"c": Figure(None, "why")}) == Figure(None, "why")
    assert measures.worst({"a": Figure(1.0, ""), "b": Figure(1.0, "")}) == Figure(1.0, "the same in every cell")


def cell(seed: int, attainment: float, accuracy: float | None, policy: str = "slackfit") -> Cell:
    names = {"experiment": "bursty", "workload": "w", "profile": "modelled", "service": "fixed", "late": "shed", "policy": policy}
    rest = {"seed": seed, "workers": 8, "offered_qps": 10.0, "slo_ms": 36.0, "requests": 7, "wall_s": 0.1}
    ends = {"accuracy_first": 0.8, "accuracy_last": 0.7, "top_share": 0.0}
    return Cell(**names, **rest, **ends, attainment=attainment, accuracy=accuracy, utility=0.5, bound=0.75)  # type: ignore[arg-type]


def test_seeds_are_averaged_and_what_one_of_them_does_not_know_is_unknown() -> None:
    grid = measures.grids([cell(0, 1.0, 0.8), cell(1, 0.5, None)])[Setting("modelled", "fixed", "shed")]["bursty"]
    averaged = grid["w"]["slackfit"]
    assert averaged.attainment == 0.75
    assert averaged.accuracy is None
    assert averaged.gap == pytest.approx(25.0)


CLAIM = Claim("c", "bursty", "says", "points", 4.0, lambda seen, grid: Figure(1.0, ""), 4.0, neutral=0.01)


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(4.0, claims.HOLDS), (9.0, claims.HOLDS), (3.9, claims.LESS), (0.01, claims.FAILS), (-1.0, claims.FAILS), (None, claims.UNKNOWN)],
)
def test_a_claim_holds_from_its_number_on_and_with_less_in_the_same_direction(value: float | None, verdict: str) -> None:
    assert CLAIM.verdict(value) == verdict


A_SHED, A_DROP, A_NOISE = Setting("a", "fixed", "shed"), Setting("a", "fixed", "drop"), Setting("a", "measured", "shed")
B_SHED, B_DROP = Setting("b", "fixed", "shed"), Setting("b", "fixed", "drop")


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({A_SHED: 5.0, B_SHED: 5.0}, "holds"),
        ({A_SHED: 0.0, B_SHED: 0.0}, "does not hold"),
        ({A_SHED: 5.0, B_SHED: 0.0}, "profile-dependent"),
        ({A_SHED: 5.0, A_DROP: 0.0, B_SHED: 5.0, B_DROP: 0.0}, "depends on the late rule"),
        ({A_SHED: 5.0, A_DROP: 5.0, B_SHED: 5.0, B_DROP: 0.0}, "depends on profile and late rule"),
        ({A_SHED: 5.0, B_SHED: None}, "holds, where it can be compared"),
        ({A_SHED: None}, "cannot be compared"),
        ({A_SHED: 5.0, B_SHED: 5.0, A_NOISE: 0.0}, "holds; differs under noise"),
        ({A_NOISE: 5.0}, "holds"),
    ],
)
def test_the_verdict_over_all_settings_says_what_it_depends_on(values: dict[Setting, float | None], verdict: str) -> None:
    assert overall(CLAIM, {setting: Figure(value, "") for setting, value in values.items()}) == verdict


def named(name: str) -> Claim:
    return next(claim for claim in claims.ALL if claim.name == name)


def test_every_claim_has_a_name_of_its_own_and_is_unknown_where_nothing_was_run() -> None:
    assert len({claim.name for claim in claims.ALL}) == len(claims.ALL)
    assert all(claim.measured(Seen({}, FIXED)).value is None for claim in claims.ALL)


def test_scaling_is_the_rate_per_worker_with_the_most_over_that_with_the_fewest() -> None:
    grid = {"1 worker": {"fixed:s": mean(1.0, offered_qps=100.0)}, "4 workers": {"fixed:s": mean(1.0, offered_qps=380.0)}}
    assert named("linear").measured(Seen({"workers": grid}, FIXED)).value == pytest.approx(0.95)


def test_the_fall_of_clipper_is_that_of_the_subnet_at_its_place_in_accuracy() -> None:
    grid = {f"5550/s, CV² {cv2}": {"slackfit": mean(1.0), "fixed:m": mean(a)} for cv2, a in ((2, 0.9), (4, 0.5), (8, 0.8))}
    assert named("Clipper+ and CV²").measured(Seen({"bursty": grid}, FIXED)).value == pytest.approx(10.0)


def test_misses_with_and_without_actuation_are_set_against_each_other() -> None:
    grid = {"MAF": {"switching:0": mean(0.9999), "switching:100": mean(0.98)}}
    seen = Seen({"actuation": grid}, FIXED)
    assert named("actuation misses").measured(seen).value == pytest.approx(1.99)
    assert named("actuation factor").measured(seen).value == pytest.approx(200)
    assert (
        named("actuation factor").measured(Seen({"actuation": {"MAF": {"switching:0": mean(1.0), "switching:100": mean(0.9)}}}, {})).value
        is None
    )
