"""No byte that comes from outside is ever run: nothing in the package unpickles, but the importer, which asks torch for tensors alone."""

import ast
from collections.abc import Iterator
from pathlib import Path

import superserve_cli

SOURCES = sorted(Path(superserve_cli.__file__).parent.rglob("*.py"))
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
IMPORTER = "checkpoint.py"


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield path, node


def test_no_module_imports_anything_that_unpickles() -> None:
    for path, node in nodes():
        if isinstance(node, ast.Import):
            assert not {alias.name.partition(".")[0] for alias in node.names} & UNPICKLERS, path
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in UNPICKLERS:
            # the error that torch raises for what it refuses
            assert (path.name, [alias.name for alias in node.names]) == (IMPORTER, ["UnpicklingError"])


def says(call: ast.Call, name: str, value: bool) -> bool:
    return any(k.arg == name and isinstance(k.value, ast.Constant) and k.value.value is value for k in call.keywords)


def test_files_are_read_as_data() -> None:
    for path, node in nodes():
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            called = f"{node.func.value.id}.{node.func.attr}"
            assert called != "torch.load" or says(node, "weights_only", True), path
            assert called != "np.load" or says(node, "allow_pickle", False), path
