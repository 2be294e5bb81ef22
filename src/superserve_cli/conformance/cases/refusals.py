"""Requests that make no sense. Each must be refused as the client's own fault, in the one shape of errors."""

from collections.abc import Callable
from typing import Any, Final

from superserve_cli.conformance import expect
from superserve_cli.conformance.case import Case, Check
from superserve_cli.conformance.cases.metadata import NO_VERSION
from superserve_cli.conformance.cases.names import NOBODY
from superserve_cli.conformance.client import Client
from superserve_cli.conformance.target import Target
from superserve_cli.conformance.verdict import NotOffered

GROUP: Final = "errors"
SENTENCE: Final = 'a failed inference request has an error status (typically 400) and the body {"error": $string}'
DEEP: Final = 100_000


def refuses(body: Callable[[Target], Any]) -> Check:
    """A case: the server refuses the body that is made for the target."""

    def check(client: Client, target: Target) -> None:
        expect.refused(client.post(target.infer, body(target)))

    return check


def unknown_model(client: Client, target: Target) -> None:
    """A model that does not exist."""
    expect.refused(client.post(f"/v2/models/{NOBODY}/infer", target.request()), 404, 400)


def unknown_version(client: Client, target: Target) -> None:
    """A version that does not exist."""
    expect.refused(client.post(f"{target.path}/versions/{NO_VERSION}/infer", target.request()), 404, 400)


def nothing_there(client: Client, target: Target) -> None:
    """A path outside of the protocol."""
    expect.refused(client.get("/v2/no/such/path"), 404)


def wrong_method(client: Client, target: Target) -> None:
    """Inference is no GET."""
    expect.refused(client.get(target.infer), 405, 404, 400)


def still_serves(client: Client, target: Target) -> None:
    """After all that, the server serves."""
    expect.ok(client.get("/v2/health/ready"))


def missing_input(target: Target) -> Any:
    """All inputs but one."""
    if len(target.inputs) < 2:
        raise NotOffered("the model has one input")
    return {"inputs": target.request()["inputs"][1:]}


def _twice(target: Target) -> Any:
    inputs = target.request()["inputs"]
    return {"inputs": [*inputs, inputs[0]]}


def _one_more(target: Target) -> Any:
    inputs = target.request()["inputs"]
    return {"inputs": [*inputs, {**inputs[0], "name": "no-such-input"}]}


def _other_datatype(target: Target) -> Any:
    datatype = "INT8" if target.inputs[0]["datatype"] != "INT8" else "FP64"
    return target.with_first(datatype=datatype, data=[1] * len(target.samples()[0].values))


def _outputs(*outputs: object) -> Callable[[Target], Any]:
    return lambda target: target.request(outputs=list(outputs))


def _case(name: str, body: Callable[[Target], Any], required: bool = True) -> Case:
    return Case(name, GROUP, SENTENCE, refuses(body), required)


CASES: Final = (
    Case("unknown model", GROUP, SENTENCE, unknown_model),
    Case("unknown version", GROUP, SENTENCE, unknown_version),
    Case("unknown path", GROUP, 'errors have the body {"error": $string}', nothing_there, required=False),
    Case("wrong method", GROUP, 'errors have the body {"error": $string}', wrong_method, required=False),
    _case("empty body", lambda target: b""),
    _case("body is not JSON", lambda target: b"\0\1\2"),
    _case("body is not UTF-8", lambda target: b'{"inputs":[],"id":"\xff\xfe"}'),
    _case("body is cut JSON", lambda target: b'{"inputs": [{"name": "'),
    _case("body is a list", lambda target: []),
    _case("body is null", lambda target: b"null"),
    _case("deeply nested body", lambda target: b"[" * DEEP),
    _case("no inputs field", lambda target: {"id": "1"}),
    _case("inputs are no list", lambda target: {"inputs": {"name": "x"}}),
    _case("inputs are empty", lambda target: {"inputs": []}),
    _case("an input is no object", lambda target: {"inputs": [1]}),
    _case("an input without name", lambda target: target.with_first(name=None)),
    _case("an input without shape", lambda target: target.with_first(shape=None)),
    _case("an input without datatype", lambda target: target.with_first(datatype=None)),
    _case("an input without data", lambda target: target.with_first(data=None)),
    _case("an unknown input", lambda target: target.with_first(name="no-such-input")),
    _case("one input too many", _one_more),
    _case("an input twice", _twice),
    _case("an input missing", missing_input),
    _case("an unknown datatype", lambda target: target.with_first(datatype="FP12")),
    _case("another datatype than the model's", _other_datatype),
    _case("a datatype that is no string", lambda target: target.with_first(datatype=32)),
    _case("a name that is no string", lambda target: target.with_first(name=5)),
    _case("data is no list", lambda target: target.with_first(data="abc")),
    _case("an unknown output", _outputs({"name": "no-such-output"})),
    _case("an output without name", _outputs({})),
    _case("an output that is no object", _outputs(7)),
    _case("an id that is no string", lambda target: target.request(id=[1]), required=False),
    _case("parameters that are no object", lambda target: target.request(parameters=[1])),
    Case("serves after bad requests", GROUP, "a bad request harms no other", still_serves),
)
