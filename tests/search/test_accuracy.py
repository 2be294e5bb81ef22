from pathlib import Path

import numpy as np
import pytest
import torch

from superserve_cli import tasks
from superserve_cli.errors import BadFile, BadOption
from superserve_cli.search import accuracy, asked, parts_of, regression
from superserve_cli.search.genes import Genes, Numbers
from superserve_cli.supernet import SuperNet, family
from superserve_cli.supernet.plan import slices

SPACE = family("conv")(shape=(1, 8, 8), classes=3, depth=(1, 2, 3), expand=(0.25, 0.5)).space
GENES = Genes(SPACE)


def net(**metadata: object) -> SuperNet:
    architecture = family("conv")(shape=(1, 8, 8), classes=3, widths=(8, 8, 8), depth=(1, 2, 3), expand=(0.25, 0.5))
    plan = architecture.plan(architecture.space.parse(architecture.space.largest))
    draw = torch.Generator().manual_seed(0)
    return SuperNet("conv", architecture, {s.parameter: torch.rand(s.shape, generator=draw) for s in slices(plan)}, {}, metadata)


def truth(genes: Genes = GENES) -> Numbers:
    return np.asarray(0.5 + genes.all() @ np.array([0.01, 0.02, 0.03, 0.1, 0.05]))


def no_task() -> tasks.Task:
    raise AssertionError("nobody asked for images")


def csv(path: Path, table: dict[str, float]) -> Path:
    path.write_text("subnet,accuracy\n" + "".join(f"{subnet},{value}\n" for subnet, value in table.items()))
    return path


def test_an_additive_accuracy_is_found_from_a_sample_and_left_out_subnets_are_predicted() -> None:
    every, values = GENES.all(), truth()
    some = np.random.default_rng(0).choice(len(every), 40, replace=False)
    fitted = regression.fit(GENES, every[some], values[some])
    assert fitted(every) == pytest.approx(values, abs=1e-3)
    assert fitted.errors.subnets == 40
    assert fitted.errors.mean_absolute < 1e-3
    assert fitted.errors.rank_correlation > 0.99


def test_the_error_of_a_left_out_subnet_is_that_of_a_fit_without_it() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=30)
    x, y = x - x.mean(0), y - y.mean()
    _, left_out = regression._ridge(x, y, 0.7)
    means = x[1:].mean(0), y[1:].mean()
    without = np.linalg.solve((x[1:] - means[0]).T @ (x[1:] - means[0]) + 0.7 * np.eye(4), (x[1:] - means[0]).T @ (y[1:] - means[1]))
    assert left_out[0] == pytest.approx(y[0] - means[1] - (x[0] - means[0]) @ without, rel=1e-6)


def test_a_regression_on_too_few_subnets_is_refused() -> None:
    with pytest.raises(BadFile, match="too few"):
        regression.fit(GENES, GENES.all()[:5], truth()[:5])


def test_a_table_of_all_subnets_is_used_as_it_is(tmp_path: Path) -> None:
    table = dict(zip(SPACE.enumerate(), np.random.default_rng(0).random(SPACE.size).tolist(), strict=True))
    held = net()
    found = accuracy(asked(f"table:{csv(tmp_path / 'a.csv', table)}", {}), held, parts_of(held), no_task)
    assert found.of(GENES.all()).tolist() == list(table.values())
    assert (found.source, found.stands_in) == ("the table a.csv", False)


def test_a_table_of_some_subnets_trains_a_regression_and_says_its_error(tmp_path: Path) -> None:
    table = dict(list(zip(SPACE.enumerate(), truth().tolist(), strict=True))[::5])
    held = net()
    found = accuracy(asked(f"table:{csv(tmp_path / 'a.csv', table)}", {}), held, parts_of(held), no_task)
    assert found.of(GENES.all()) == pytest.approx(truth(), abs=0.01)
    assert found.source == "a regression on the table a.csv"
    assert found.about["mean_absolute_error"] < 0.01


def test_what_the_supernet_knows_of_itself_is_a_table() -> None:
    rows = {subnet: {"validation": value} for subnet, value in zip(SPACE.enumerate(), truth().tolist(), strict=True)}
    held = net(subnets=rows)
    found = accuracy(asked(None, held.metadata), held, parts_of(held), no_task)
    assert found.of(GENES.all()) == pytest.approx(truth())


def test_evaluated_subnets_are_calibrated_first() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(30) % 3
    split = tasks.Split((rng.normal(size=(30, 1, 8, 8)) + labels[:, None, None, None]).astype(np.float32), labels)
    task = tasks.Task("toy", (1, 8, 8), ("a", "b", "c"), lambda name: split)
    held, told = net(), list[tuple[int, int]]()
    found = accuracy(asked("fit:12", {}), held, parts_of(held), lambda: task, progress=lambda done, total, note: told.append((done, total)))
    assert told[-1] == (12, 12)
    assert found.source == "a regression on 12 evaluated subnets"
    assert ((found.of(GENES.all()) > -1) & (found.of(GENES.all()) < 2)).all()
    other = tasks.Task("other", (1, 16, 16), ("a", "b", "c"), lambda name: split)
    with pytest.raises(BadOption, match="conv takes"):
        accuracy(asked("fit:12", {}), held, parts_of(held), lambda: other)


def test_the_stand_in_rises_with_multiply_accumulates_and_is_called_one() -> None:
    held = net()
    found = accuracy(asked("macs", {}), held, parts_of(held), no_task)
    values, macs = found.of(GENES.all()), [held.macs(subnet) for subnet in SPACE.enumerate()]
    assert found.stands_in
    assert "stand-in" in found.source
    assert np.array_equal(np.argsort(values, kind="stable"), np.argsort(macs, kind="stable"))
    assert (values.min(), values.max()) == (0, 1)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (None, "nothing says how accurate"),
        ("magic", "--accuracy is 'magic'"),
        ("table", "--accuracy is 'table'"),
        ("predictor:", "--accuracy is 'predictor:'"),
        ("fit:few", "--accuracy is 'fit:few'"),
        ("fit:3", "--accuracy is 'fit:3'"),
        ("macs:3", "--accuracy is 'macs:3'"),
    ],
)
def test_what_says_nothing_about_accuracy_is_refused_with_the_choices(text: str | None, complaint: str) -> None:
    with pytest.raises(BadOption, match=complaint):
        asked(text, {})


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("subnet,accuracy\nd111-w0.6-e0.25,78.2\n", "line 2: the accuracy is 78.2"),
        ("subnet,accuracy\nd111-w0.6-e0.25,\n", "line 2"),
        ("name,value\na,1\n", "no table of accuracies"),
        ("", "no table of accuracies"),
    ],
)
def test_a_table_that_is_none_is_refused(tmp_path: Path, content: str, complaint: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    held = net()
    with pytest.raises(BadFile, match=complaint):
        accuracy(asked(f"table:{tmp_path / 'a.csv'}", {}), held, parts_of(held), no_task)
