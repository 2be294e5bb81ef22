import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from superserve_cli import policies, profiles
from superserve_cli.core.nouns import NS_PER_MS, NS_PER_S, silent
from superserve_cli.errors import BadFile, BadOption, Unknown
from superserve_cli.profiles import Profile
from superserve_cli.studies import reproduction, utilisation
from superserve_cli.studies.reproduction import experiments, running, work
from superserve_cli.studies.reproduction.asked import Asked
from superserve_cli.studies.reproduction.cells import FILE, Store


def test_the_papers_rates_hold_as_printed_on_the_profiles_modelled_after_its_test_bed() -> None:
    assert [utilisation.rate_factor(profiles.load(name)) for name in utilisation.MODELLED] == [1.0, 1.0]


def test_on_another_profile_the_share_of_what_its_workers_sustain_is_the_same() -> None:
    # the reference sustains 10,500 requests/s on eight workers, this one 8 x 100
    slow = Profile(("s", "l"), (1, 10), ((20 * NS_PER_MS, 100 * NS_PER_MS), (50 * NS_PER_MS, 400 * NS_PER_MS)), (0.7, 0.8))
    assert utilisation.capacity_qps(slow, 8) == pytest.approx(800)
    assert utilisation.rate_factor(slow) == pytest.approx(800 / 10_500, rel=1e-5)


def test_the_slo_is_the_papers_unless_the_slowest_batch_does_not_fit() -> None:
    assert utilisation.slo_ns(profiles.load("modelled-flat")) == 36 * NS_PER_MS
    assert utilisation.slo_ns(Profile(("s",), (1,), ((40 * NS_PER_MS,),), (0.7,))) == 48 * NS_PER_MS


@pytest.mark.parametrize(("name", "cells"), [("maf", 1), ("bursty", 9), ("time-varying", 9), ("policies", 3), ("faults", 1)])
def test_an_experiment_has_the_cells_of_its_figure(name: str, cells: int) -> None:
    (experiment,) = experiments.named([name])
    assert len({workload.label for workload in experiment.workloads}) == cells


def test_an_unknown_experiment_is_refused() -> None:
    with pytest.raises(Unknown):
        reproduction.ask(["burst"])


def test_a_bursty_workload_is_a_constant_base_and_a_gamma_variant_of_the_papers_rates() -> None:
    workload = experiments.BURSTY[-1]
    assert workload.rates["qps"] == 1500 + 5550
    assert workload.shape == {"base_share": 1500 / 7050, "cv2": 8}
    trace = work.make_trace(workload, 1.0, 0, "azure")
    assert len(trace) == pytest.approx(60 * 7050, rel=0.02)
    assert len(work.make_trace(workload, 0.1, 0, "azure")) == pytest.approx(6 * 7050, rel=0.05)


def test_a_time_varying_workload_is_scaled_in_its_rates_and_not_in_time() -> None:
    workload = next(w for w in experiments.named(["time-varying"])[0].workloads if w.label == "to 7800/s, τ 250")
    metadata = work.make_trace(workload, 0.5, 0, "azure").metadata
    assert (metadata["start"], metadata["end"], metadata["acceleration"]) == (1250, 3900, 125)


def test_a_worker_is_lost_every_twelve_seconds_until_half_are_left() -> None:
    (faults,) = experiments.named(["faults"])
    losses = work._losses(faults.workloads[0])
    assert losses == [(12 * NS_PER_S, 7, False), (24 * NS_PER_S, 6, False), (36 * NS_PER_S, 5, False), (48 * NS_PER_S, 4, False)]


def test_every_comparison_has_clipper_on_each_of_the_six_modelled_subnets() -> None:
    specs = running.specs(experiments.named(["maf"])[0], "modelled")
    assert sum(spec.startswith("fixed:") for spec in specs) == 6
    assert set(policies.ALL) <= set(specs)


def test_every_policy_that_an_experiment_names_exists() -> None:
    for experiment in experiments.ALL:
        assert all(policies.named(spec) for spec in running.specs(experiment, "modelled"))


def little(*names: str, seconds: float = 0.5, **more: object) -> Asked:
    return replace(reproduction.ask(names, quick=True, duration_s=seconds), **more)  # type: ignore[arg-type]


def test_a_run_leaves_one_cell_per_policy_workload_and_seed_and_its_utility_keeps_to_the_bound(tmp_path: Path) -> None:
    asked = little("policies", seeds=2)
    store = Store(tmp_path, asked.settings(), overwrite=False)
    reproduction.run(asked, store, 1, silent)
    assert len(store.cells) == 3 * 2 * len(running.specs(asked.experiments[0], "modelled"))
    for cell in store.cells.values():
        assert cell.utility is not None
        assert cell.bound is not None
        assert cell.utility <= cell.bound + 1e-9


def test_an_interrupted_run_goes_on_with_what_is_missing_and_a_torn_line_is_forgotten(tmp_path: Path) -> None:
    asked = little("faults")
    store = Store(tmp_path, asked.settings(), overwrite=False)
    reproduction.run(asked, store, 1, silent)
    path = tmp_path / FILE
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[:4]) + "\n" + lines[4][:20])
    again = Store(tmp_path, asked.settings(), overwrite=False)
    assert len(again.cells) == 3
    steps: list[int] = []
    reproduction.run(asked, again, 1, lambda done, total, note: steps.append(total))
    assert set(steps) == {len(store.cells) - 3}
    timeless = [{**asdict(store.cells[key]), "wall_s": 0} for key in sorted(store.cells)]
    assert [{**asdict(again.cells[key]), "wall_s": 0} for key in sorted(again.cells)] == timeless
    assert len(Store(tmp_path, asked.settings(), overwrite=False).cells) == len(store.cells)


def test_several_processes_find_what_one_does(tmp_path: Path) -> None:
    asked = little("faults", seeds=2, seconds=0.2)
    stores = [Store(tmp_path / str(processes), asked.settings(), overwrite=False) for processes in (1, 2)]
    for processes, store in enumerate(stores, 1):
        reproduction.run(asked, store, processes, silent)
    one, two = ({key: cell.utility for key, cell in store.cells.items()} for store in stores)
    assert one == two


def test_cells_of_other_settings_are_refused_unless_they_are_to_be_replaced(tmp_path: Path) -> None:
    settings = little("faults").settings()
    Store(tmp_path, settings, overwrite=False)
    with pytest.raises(BadOption, match=r"seconds 0\.5, now 9"):
        Store(tmp_path, {**settings, "seconds": 9}, overwrite=False)
    assert Store(tmp_path, {**settings, "seconds": 9}, overwrite=True).cells == {}


@pytest.mark.parametrize(
    "text", ["", "nonsense\n", '{"schema": "other/1"}\n', '{"schema": "reproduction-cells/1", "settings": {}}\n{"cell": {}}\n']
)
def test_a_file_that_holds_no_cells_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises((BadFile, BadOption), match=FILE):
        Store(tmp_path, {}, overwrite=False)


def test_the_largest_sustained_rate_of_one_subnet_is_what_its_best_batch_sustains(tmp_path: Path) -> None:
    asked = little("workers", seconds=60.0)
    two = next(w for w in asked.experiments[0].workloads if w.workers == 2)
    found = work.work(work.Job("workers", two, True, "modelled", 0, "azure", (("fixed:ofa-73.82", "shed", "fixed"),)))
    capacity = utilisation.capacity_qps(profiles.load("modelled"), 2)
    assert found[0].attainment >= work.SUSTAINED
    assert found[0].offered_qps == pytest.approx(capacity, rel=0.02)


def test_other_seeds_extend_a_study_and_other_sources_do_not(tmp_path: Path) -> None:
    asked = little("faults")
    assert replace(asked, seeds=5).settings() == asked.settings()
    header = json.loads((Store(tmp_path, asked.settings(), False)._path).read_text().splitlines()[0])
    assert header["settings"]["sources"] == asked.settings()["sources"]
    assert np.all([isinstance(value, str) for value in asked.settings()["profiles"].values()])
