"""The examples run as they are, with less work where they allow it."""

import runpy
from pathlib import Path

import pytest

from superserve_cli import supernet

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_module_of_ones_own_becomes_a_supernet_that_needs_none_of_its_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "own_module.py"))["main"](tmp_path / "net", steps=2)
    net = supernet.load(tmp_path / "net")
    assert net.family == "module"
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown[2:]] == ["d1-w0.5", "d1-w1", "d2-w0.5", "d2-w1", "d3-w0.5", "d3-w1"]
