"""The examples run as they are, with less work where they allow it."""

import json
import os
import runpy
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from superserve_cli import supernet
from superserve_cli.supernet.ofa_mbv3 import OfaMbv3
from tests.supernet.ofa_nets import checkpoint

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_module_of_ones_own_becomes_a_supernet_that_needs_none_of_its_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "own_module.py"))["main"](tmp_path / "net", steps=2)
    net = supernet.load(tmp_path / "net")
    assert net.family == "module"
    shown = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in shown[2:]] == ["d1-w0.5", "d1-w1", "d2-w0.5", "d2-w1", "d3-w0.5", "d3-w1"]


def test_a_checkpoint_of_once_for_all_is_imported_searched_calibrated_exported_profiled_and_served(tmp_path: Path) -> None:
    torch.save({"state_dict": checkpoint(OfaMbv3())}, tmp_path / "ofa_mbv3")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    quick = {"FAMILY": "ofa-mbv3", "SUBNETS": "2", "MINUTES": "0.05", "IMAGES": "32", "BATCH_SIZES": "1", "ROUNDS": "2", "DURATION": "2"}
    done = subprocess.run(
        ["sh", str(EXAMPLES / "ofa_checkpoint.sh"), "ofa_mbv3"],
        cwd=tmp_path,
        env={**os.environ, **quick, "PORT": str(port), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "ofa-onnx").glob("*.onnx"))) == 2
    summary = json.loads((tmp_path / "ofa-run" / "summary.json").read_text())
    assert summary["met"] + summary["late"] + summary["dropped"] == summary["requests"] > 0
