"""ONNX Runtime: the whole SuperNet as one model against static models of single subnets, and PyTorch in place beside them."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch

from superserve_cli.bench.in_place import Compared, Run, compare
from superserve_cli.core.nouns import Subnet
from superserve_cli.supernet import SuperNet
from superserve_cli.supernet.onnx import described, export_subnet, export_whole


def in_runtime(net: SuperNet, subnets: Sequence[Subnet], rounds: int, batch_size: int = 1) -> Compared:
    """`whole`, `static` and `torch` (views in place) for the same subnets, on the CPU, with the same threads."""
    x = np.random.default_rng(0).standard_normal((batch_size, *net.architecture.shape), np.float32)
    with tempfile.TemporaryDirectory() as folder:
        whole = _whole(net, subnets, Path(folder) / "whole.onnx", x)
        static = [_static(net, subnet, Path(folder) / f"{i}.onnx", x) for i, subnet in enumerate(subnets)]
    return compare(subnets, {"whole": whole, "static": static, "torch": [_torch(net, subnet, x) for subnet in subnets]}, rounds)


def _whole(net: SuperNet, subnets: Sequence[Subnet], path: Path, x: np.ndarray[Any, Any]) -> list[Run]:
    export_whole(net, subnets, path)
    session, controls = _session(path), {control.id: control for control in described.read(path).subnets}

    def run(subnet: Subnet) -> Run:
        feeds = {"input": x, **controls[subnet].feeds()}
        return lambda: session.run(None, feeds)

    return [run(subnet) for subnet in subnets]


def _static(net: SuperNet, subnet: Subnet, path: Path, x: np.ndarray[Any, Any]) -> Run:
    export_subnet(net, subnet, path)
    session = _session(path)
    return lambda: session.run(None, {"input": x})


def _session(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return ort.InferenceSession(str(path), options, ["CPUExecutionProvider"])


def _torch(net: SuperNet, subnet: Subnet, x: np.ndarray[Any, Any]) -> Run:
    images = torch.from_numpy(x)

    def run() -> None:
        with torch.inference_mode():
            net.forward(images, subnet)

    return run
