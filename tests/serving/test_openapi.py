import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from superserve_cli.serving.openapi import ERRORS, SCHEMAS, openapi
from tests.serving.test_routes import Browser

PATHS = openapi()["paths"]
OPERATIONS = [(path, method.upper()) for path, told in PATHS.items() for method in told if method in ("get", "post")]
NAMES = {"model": "net", "version": "small", "region": "nothing"}


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_documented_path_is_there_and_answers_as_documented(world: Callable[..., Any], path: str, method: str) -> None:
    browser = Browser(world())
    browser.post(re.sub(r"\{(\w+)\}", lambda found: NAMES[found[1]], path), b"{}" if method == "POST" else b"", method)
    status, _, body = browser.answer()
    assert str(status) in PATHS[path][method.lower()]["responses"]
    assert b"there is nothing at" not in body


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_other_methods_are_refused(world: Callable[..., Any], path: str, method: str) -> None:
    browser = Browser(world())
    assert browser.get(re.sub(r"\{(\w+)\}", lambda found: NAMES[found[1]], path), "DELETE")[0] == 405


def test_every_reference_leads_somewhere() -> None:
    named = set(re.findall(r'"#/components/(\w+/\w+)"', json.dumps(openapi())))
    assert named <= {f"schemas/{name}" for name in SCHEMAS} | {f"responses/Error{status}" for status in ERRORS}
    assert {name.partition("/")[2] for name in named if name.startswith("schemas/")} == set(SCHEMAS)


def test_the_example_is_a_request_that_the_model_takes(world: Callable[..., Any]) -> None:
    browser = Browser(world())
    told = browser.get("/openapi.json")[1]["paths"]["/v2/models/{model}/infer"]
    assert told["parameters"][0]["example"] == "net"
    status, answer = browser.infer(told["post"]["requestBody"]["content"]["application/json"]["example"])
    assert (status, answer["model_name"]) == (200, "net")


def test_a_model_of_large_inputs_has_no_example() -> None:
    large = {"name": "net", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3, 224, 224]}]}
    assert "example" not in openapi(large)["paths"]["/v2/models/{model}/infer"]["post"]["requestBody"]["content"]["application/json"]
