from typing import Final

from superserve_cli.conformance import expect
from superserve_cli.conformance.case import Case
from superserve_cli.conformance.cases.names import NOBODY, version
from superserve_cli.conformance.client import Client
from superserve_cli.conformance.target import Target

GROUP: Final = "health"


def live(client: Client, target: Target) -> None:
    """The server is live."""
    expect.ok(client.get("/v2/health/live"))


def live_body(client: Client, target: Target) -> None:
    """It says so in JSON."""
    expect.that(expect.document(client.get("/v2/health/live")).get("live") is True, '{"live": true}', client.get("/v2/health/live"))


def ready(client: Client, target: Target) -> None:
    """The server is ready."""
    expect.ok(client.get("/v2/health/ready"))


def ready_body(client: Client, target: Target) -> None:
    """It says so in JSON; the specification's text writes `live` there, clients read `ready`."""
    said = expect.document(client.get("/v2/health/ready"))
    expect.that(said.get("ready", said.get("live")) is True, '{"ready": true}', said)


def model_ready(client: Client, target: Target) -> None:
    """The model is ready."""
    expect.ok(client.get(f"{target.path}/ready"))


def version_ready(client: Client, target: Target) -> None:
    """Its version is ready."""
    expect.ok(client.get(f"{target.path}/versions/{version(target)}/ready"))


def model_ready_body(client: Client, target: Target) -> None:
    """It says which model is ready."""
    said = expect.document(client.get(f"{target.path}/ready"))
    expect.that(said.get("name") == target.name and said.get("ready") is True, f'{{"name": "{target.name}", "ready": true}}', said)


def unknown_ready(client: Client, target: Target) -> None:
    """No model is ready that does not exist."""
    expect.refused(client.get(f"/v2/models/{NOBODY}/ready"))


CASES: Final = (
    Case("server live", GROUP, "GET v2/health/live answers 200 when the server can receive requests", live),
    Case("server live: body", GROUP, '$live_server_response = {"live": $bool}', live_body, required=False),
    Case("server ready", GROUP, "GET v2/health/ready answers 200 when all models are ready", ready),
    Case("server ready: body", GROUP, "$ready_server_response holds a $bool", ready_body, required=False),
    Case("model ready", GROUP, "GET v2/models/NAME/ready answers 200 when the model is ready", model_ready),
    Case("model ready: body", GROUP, '$ready_model_response = {"name": $string, "ready": $bool}', model_ready_body, required=False),
    Case("model version ready", GROUP, "GET v2/models/NAME/versions/VERSION/ready answers 200 when it is ready", version_ready),
    Case("unknown model is not ready", GROUP, "a model that does not exist has no readiness: 4xx", unknown_ready, required=False),
)
