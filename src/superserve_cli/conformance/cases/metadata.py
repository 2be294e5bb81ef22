from typing import Any, Final

from superserve_cli.conformance import expect
from superserve_cli.conformance.case import Case
from superserve_cli.conformance.cases.names import NOBODY, version
from superserve_cli.conformance.client import Client
from superserve_cli.conformance.samples import DATATYPES
from superserve_cli.conformance.target import Target

GROUP: Final = "metadata"
NO_VERSION: Final = "987654321"


def server(client: Client, target: Target) -> None:
    """Name, version and extensions."""
    _server(expect.document(client.get("/v2")))


def server_slash(client: Client, target: Target) -> None:
    """The path with which the specification's OpenAPI document writes it."""
    _server(expect.document(client.get("/v2/")))


def _server(said: dict[str, Any]) -> None:
    expect.that(isinstance(said.get("name"), str), 'a string "name"', said)
    expect.that(isinstance(said.get("version"), str), 'a string "version"', said)
    listed = said.get("extensions")
    expect.that(isinstance(listed, list) and all(isinstance(name, str) for name in listed), 'a list of strings "extensions"', said)


def model(client: Client, target: Target) -> None:
    """Name, platform, inputs and outputs."""
    _model(target, expect.document(client.get(target.path)))


def model_version(client: Client, target: Target) -> None:
    """The same of one version."""
    _model(target, expect.document(client.get(f"{target.path}/versions/{version(target)}")))


def _model(target: Target, said: dict[str, Any]) -> None:
    expect.that(said.get("name") == target.name, f'"name": "{target.name}"', said)
    expect.that(isinstance(said.get("platform"), str), 'a string "platform"', said)
    versions = said.get("versions", [])
    expect.that(isinstance(versions, list) and all(isinstance(v, str) for v in versions), 'a list of strings "versions"', versions)
    for tensor in (*said.get("inputs", [{}]), *said.get("outputs", [{}])):
        expect.that(tensor.get("datatype") in DATATYPES, "a tensor data type", tensor)
        expect.that(all(type(n) is int and n >= -1 for n in tensor.get("shape", [None])), "a shape of sizes, or -1", tensor)


def unknown_model(client: Client, target: Target) -> None:
    """A model that does not exist."""
    expect.refused(client.get(f"/v2/models/{NOBODY}"))


def unknown_version(client: Client, target: Target) -> None:
    """A version that does not exist."""
    expect.refused(client.get(f"{target.path}/versions/{NO_VERSION}"))


def odd_name(client: Client, target: Target) -> None:
    """A name with a slash, a quote and a letter beyond ASCII, written as URLs write them."""
    expect.refused(client.get("/v2/models/a%2Fb%22%C3%A9"))


CASES: Final = (
    Case("server metadata", GROUP, '$metadata_server_response = {"name", "version", "extensions"}', server),
    Case("server metadata at v2/", GROUP, "the OpenAPI document of the specification writes the path v2/", server_slash, required=False),
    Case("model metadata", GROUP, '$metadata_model_response = {"name", "versions"?, "platform", "inputs", "outputs"}', model),
    Case("model version metadata", GROUP, '"versions": those that may be explicitly requested', model_version),
    Case("metadata of an unknown model", GROUP, 'a failed request has an error status and the body {"error": $string}', unknown_model),
    Case("metadata of an unknown version", GROUP, 'a failed request has an error status and the body {"error": $string}', unknown_version),
    Case("metadata of an oddly named model", GROUP, 'a failed request has an error status and the body {"error": $string}', odd_name),
)
