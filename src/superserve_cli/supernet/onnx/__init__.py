"""SuperNets as ONNX: one subnet as a static graph, or the whole SuperNet with the subnet as an input."""

from superserve_cli.supernet.onnx.described import Control, Described
from superserve_cli.supernet.onnx.export import OPSET, export_subnet, export_tensors, export_whole

__all__ = ["OPSET", "Control", "Described", "export_subnet", "export_tensors", "export_whole"]
