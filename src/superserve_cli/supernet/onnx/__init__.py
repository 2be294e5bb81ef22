"""SuperNets as ONNX: one subnet as a static graph, or the whole SuperNet with the subnet as an input."""

from superserve_cli.supernet.onnx.described import Control, Described

__all__ = ["Control", "Described"]
