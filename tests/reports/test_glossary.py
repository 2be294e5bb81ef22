import re
from pathlib import Path

from superserve_cli.core.outcomes import REJECTED
from superserve_cli.reports import summarize
from superserve_cli.reports.regression import METRICS
from tests.reports.runs import Req, a_run

GLOSSARY = Path(__file__).parents[2] / "docs" / "metrics.md"


def test_every_figure_has_one_line_in_the_glossary_and_no_line_lacks_its_figure() -> None:
    beyond = Req(1, min_accuracy=0.9, status=REJECTED)
    summary = summarize(a_run(Req(0, 1, tenant="a", correct=True), beyond, kind="live"))
    rows = [line.split("|")[1] for line in GLOSSARY.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    described = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert len(described) == len(set(described))
    assert set(described) == summary.keys() - {"schema", "policy", "valid"}
    assert set(METRICS) <= set(described)
