"""schemathesis with the protocol's OpenAPI document as MLServer ships it.

The document names 200 alone for most operations, while the protocol's text wants an error status for what fails ("typically 400"), so
undocumented statuses are no findings here; neither are the operations that MLServer adds (infer_stream, generate).
"""

import argparse
import json
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from calls import Calls, run
from fuzz import fuzz


def document(model: str) -> dict[str, Any]:
    """The document, with a tensor's data as the protocol has it, and a model to ask."""
    package = find_spec("mlserver")
    said = json.loads((Path(str(package and package.origin)).parent / "rest/openapi/dataplane.json").read_text())
    said["components"]["schemas"]["TensorData"] = {"type": "array"}  # MLServer adds "bytes", a type that JSON Schema does not know
    for path in said["paths"].values():
        for parameter in path.get("parameters", []):
            if parameter["name"] == "model_name":
                parameter["example"] = model
    return said


def suite(calls: Calls, asked: argparse.Namespace) -> None:
    """Every operation of the protocol."""
    less = ["--exclude-path-regex", "(infer_stream|generate)", "--exclude-checks", "status_code_conformance"]
    with calls.call("schemathesis run dataplane.json"), tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "dataplane.json"
        file.write_text(json.dumps(document(asked.model)))
        fuzz(str(file), f"http://{asked.http}", *less)


if __name__ == "__main__":
    run(suite)
