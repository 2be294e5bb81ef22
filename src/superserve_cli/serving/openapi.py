"""The HTTP API in the words of OpenAPI 3.1: every path, every status that can come, and the one shape of errors."""

from collections.abc import Mapping
from math import prod
from typing import Any, Final

from superserve_cli import __version__
from superserve_cli.serving.objectives import FLOOR_HEADER, LONGEST_SLO_US, SLO_HEADER, SUBNET_HEADER
from superserve_cli.serving.tensors import DTYPES

Schema = Mapping[str, Any]

JSON: Final = "application/json"
BINARY: Final = "application/octet-stream"
HEADER_LENGTH: Final = "Inference-Header-Content-Length"
ERRORS: Final = {
    400: "The request makes no sense, or is not HTTP/1.1.",
    401: "The API key is missing or wrong.",
    404: "There is no such model, version, region or path.",
    408: "The request did not arrive in time.",
    413: "The body is larger than this server takes.",
    415: "The body's Content-Encoding is not supported.",
    431: "The request's head is too long.",
    501: "The protocol has this, and this server does not offer it.",
    503: "Not now: loading, full, or no worker is up. Retry-After says when to come again.",
    504: "The deadline could not be met.",
}
MOST_SHOWN: Final = 4096
"""Numbers in an example."""
ALWAYS: Final = (400, 401, 408, 413, 431, 503)
"""What any request can meet: HTTP itself, the key, and the limit of connections."""


def openapi(model: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The whole document; `model` is the metadata of one that may stand as example."""
    name, request = (str(model["name"]), _example(model)) if model else ("", None)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "superserve",
            "version": __version__,
            "summary": "The Open Inference Protocol v2 over HTTP, with its extensions.",
            "description": "Errors have one shape: an object with the message under `error`. Bodies may be compressed by gzip or deflate.",
        },
        "paths": {**_server(), **_models(name, request), **_repository(), **_memory(), **_logging()},
        "components": {
            "schemas": SCHEMAS,
            "responses": {f"Error{status}": _error(text) for status, text in ERRORS.items()},
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "Where the server was started with --api-key."}},
        },
        "security": [{}, {"key": []}],
    }


def _server() -> dict[str, Any]:
    return {
        "/v2/health/live": {"get": _operation("Is the server live?", "Live")},
        "/v2/health/ready": {"get": _operation("Would a request be served now?", "Ready", unready="Unready")},
        "/v2": {"get": _operation("What the server is, and which extensions it has.", "Server")},
        "/v2/models": {"get": _operation("The names of its models.", "Models")},
        "/v2/models/stats": {"get": _operation("Statistics of all models.", "Statistics")},
        "/metrics": {"get": _operation("Metrics for Prometheus.", {"type": "string"}, content="text/plain")},
        "/openapi.json": {"get": _operation("This document.", {"type": "object"})},
    }


def _models(name: str, request: Any) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for path, parameters in (
        ("/v2/models/{model}", [_in_path("model", name)]),
        ("/v2/models/{model}/versions/{version}", [_in_path("model", name), _in_path("version")]),
    ):
        paths[path] = {"parameters": parameters, "get": _operation("The model's inputs and outputs.", "Model", 404)}
        ready = _operation("Is the model ready?", "ModelReady", 404, unready="ModelUnready")
        paths[f"{path}/ready"] = {"parameters": parameters, "get": ready}
        paths[f"{path}/config"] = {"parameters": parameters, "get": _operation("The model's configuration.", "Configuration", 404)}
        paths[f"{path}/stats"] = {"parameters": parameters, "get": _operation("The model's statistics.", "Statistics", 404)}
        paths[f"{path}/infer"] = {"parameters": parameters, "post": _infer(request)}
    return paths


def _infer(request: Any) -> dict[str, Any]:
    parameters = [
        _header(SLO_HEADER.decode(), {"type": "integer", "minimum": 1, "maximum": LONGEST_SLO_US}, "The deadline, from now on."),
        _header(FLOOR_HEADER.decode(), {"type": "number", "minimum": 0, "maximum": 1}, "The least accuracy of the subnet that answers."),
        _header(SUBNET_HEADER.decode(), {"type": "string", "pattern": "^[!-~]+$"}, "The subnet that shall answer."),
    ]
    operation = _operation("Ask for an inference within a deadline.", "InferenceResponse", 404, 415, 501, 504)
    operation["responses"]["200"]["content"][BINARY] = {}
    example = {"example": request} if request else {}
    bodies = {JSON: {"schema": _ref("InferenceRequest"), **example}, BINARY: {}}
    # no parameter, for it changes what a body is, whatever its Content-Type, and no schema can say so
    text = f"With the header {HEADER_LENGTH} a body is so many bytes of JSON and then binary tensors; with 0 it is the only input's bytes."
    return {"description": text, "parameters": parameters, "requestBody": {"required": True, "content": bodies}, **operation}


def _example(model: Mapping[str, Any]) -> dict[str, Any] | None:
    """A request of zeros; none for a model whose inputs are large, or not numbers."""
    inputs = []
    for tensor in model["inputs"]:
        shape = [max(size, 1) for size in tensor["shape"]]
        if prod(shape) > MOST_SHOWN or tensor["datatype"] in ("BOOL", "BYTES"):
            return None
        inputs.append({"name": tensor["name"], "datatype": tensor["datatype"], "shape": shape, "data": [0] * prod(shape)})
    return {"inputs": inputs}


def _repository() -> dict[str, Any]:
    named = [_in_path("model")]
    load = _operation("Load a model, or load it anew.", {}, 404, 415, 501)
    unload = _operation("Serve a model no longer.", {}, 404, 415, 501)
    return {
        "/v2/repository/index": {"post": {**_body("IndexRequest"), **_operation("All models.", "Index", 415)}},
        "/v2/repository/models/{model}/load": {"parameters": named, "post": {**_body("RepositoryRequest"), **load}},
        "/v2/repository/models/{model}/unload": {"parameters": named, "post": {**_body("RepositoryRequest"), **unload}},
    }


def _memory() -> dict[str, Any]:
    root, region = "/v2/systemsharedmemory", [_in_path("region", "inputs")]
    return {
        f"{root}/status": {"get": _operation("All registered regions.", "Regions", 501)},
        f"{root}/unregister": {"post": _operation("Let go of all regions.", {}, 501)},
        f"{root}/region/{{region}}/status": {"parameters": region, "get": _operation("A registered region.", "Regions", 404, 501)},
        f"{root}/region/{{region}}/unregister": {"parameters": region, "post": _operation("Let go of a region.", {}, 501)},
        f"{root}/region/{{region}}/register": {
            "parameters": region,
            "post": {**_body("Registration", required=True), **_operation("Register a region of shared memory.", {}, 413, 415, 501)},
        },
    }


def _logging() -> dict[str, Any]:
    change = _operation("Say more or less from now on.", "LogSettings", 415, 501)
    untraced = _operation("Requests are not traced one by one.", {}, 501)
    del untraced["responses"]["200"]
    return {
        "/v2/logging": {"get": _operation("How much the server says.", "LogSettings"), "post": {**_body("LogSettings"), **change}},
        "/v2/trace/setting": {"get": untraced, "post": untraced},
    }


def _operation(summary: str, answer: str | Schema, *errors: int, content: str = JSON, unready: str = "") -> dict[str, Any]:
    schema = _ref(answer) if isinstance(answer, str) else answer
    responses = {"200": {"description": "It is so.", "content": {content: {"schema": schema}}}}
    responses |= {str(status): {"$ref": f"#/components/responses/Error{status}"} for status in sorted({*ALWAYS, *errors})}
    if unready:
        responses["503"] = {"description": ERRORS[503], "content": {JSON: {"schema": {"anyOf": [_ref(unready), _ref("Error")]}}}}
    return {"summary": summary, "responses": responses}


def _error(text: str) -> dict[str, Any]:
    return {"description": text, "content": {JSON: {"schema": _ref("Error")}}}


def _body(schema: str, required: bool = False) -> dict[str, Any]:
    return {"requestBody": {"required": required, "content": {JSON: {"schema": _ref(schema)}}}}


def _in_path(name: str, example: str = "") -> dict[str, Any]:
    told = {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    return {**told, "example": example} if example else told


def _header(name: str, schema: Schema, text: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "schema": schema, "description": text}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(required: Mapping[str, Schema], optional: Mapping[str, Schema] | None = None) -> dict[str, Any]:
    return {"type": "object", "required": list(required), "properties": {**required, **(optional or {})}}


def _listed(items: Schema) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _or_null(kind: str) -> dict[str, Any]:
    return {"type": [kind, "null"]}


TEXT: Final[Schema] = {"type": "string"}
FLAG: Final[Schema] = {"type": "boolean"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
DATATYPE: Final[Schema] = {"type": "string", "enum": list(DTYPES)}
SHAPE: Final[Schema] = _listed(COUNT)
PARAMETERS: Final[Schema] = _ref("Parameters")
DURATION: Final[Schema] = _ref("Duration")
STAGES: Final = dict.fromkeys(("compute_input", "compute_infer", "compute_output"), DURATION)
SCHEMAS: Final[dict[str, Schema]] = {
    "Error": {**_object({"error": TEXT}), "additionalProperties": False},
    "Live": _object({"live": FLAG}),
    "Ready": _object({"ready": FLAG}),
    "Unready": _object({"ready": FLAG, "error": TEXT}),
    "ModelReady": _object({"name": TEXT, "ready": FLAG}),
    "ModelUnready": _object({"name": TEXT, "ready": FLAG, "error": TEXT}),
    "Server": _object({"name": TEXT, "version": TEXT, "extensions": _listed(TEXT)}),
    "Models": _object({"models": _listed(TEXT)}),
    "Model": _object(
        {"name": TEXT, "platform": TEXT, "inputs": _listed(_ref("TensorMetadata")), "outputs": _listed(_ref("TensorMetadata"))},
        {"versions": _listed(TEXT), "parameters": _or_null("object")},
    ),
    "TensorMetadata": _object({"name": TEXT, "datatype": DATATYPE, "shape": _listed({"type": "integer", "minimum": -1})}),
    "Parameters": {**_or_null("object"), "description": "Names and what they are set to: strings, numbers, true or false."},
    "InferenceRequest": _object(
        {"inputs": {**_listed(_ref("RequestInput")), "minItems": 1}},
        {"id": _or_null("string"), "parameters": PARAMETERS, "outputs": {**_or_null("array"), "items": _ref("RequestOutput")}},
    ),
    "RequestInput": _object(
        {"name": TEXT, "datatype": DATATYPE, "shape": SHAPE},
        {"parameters": PARAMETERS, "data": _ref("Data")},
    ),
    "RequestOutput": _object({"name": TEXT}, {"parameters": PARAMETERS}),
    "Data": {"type": "array", "description": "Elements in row-major order, flat or in lists as the shape has it."},
    "InferenceResponse": _object(
        {"model_name": TEXT, "outputs": _listed(_ref("ResponseOutput"))},
        {"model_version": TEXT, "id": TEXT, "parameters": PARAMETERS},
    ),
    "ResponseOutput": _object(
        {"name": TEXT, "datatype": DATATYPE, "shape": SHAPE},
        {"parameters": PARAMETERS, "data": _ref("Data")},
    ),
    "Duration": _object({"count": COUNT, "ns": COUNT}),
    "Statistics": _object({"model_stats": _listed(_ref("ModelStatistics"))}),
    "ModelStatistics": _object(
        {
            "name": TEXT,
            "version": TEXT,
            "last_inference": COUNT,
            "inference_count": COUNT,
            "execution_count": COUNT,
            "inference_stats": _object({"success": DURATION, "fail": DURATION, "queue": DURATION, **STAGES}),
            "batch_stats": _listed(_object({"batch_size": COUNT, **STAGES})),
        }
    ),
    "Configuration": _object({"name": TEXT, "platform": TEXT, "max_batch_size": COUNT, "input": _listed({}), "output": _listed({})}),
    "IndexRequest": _object({}, {"ready": _or_null("boolean")}),
    "Index": _listed(_object({"name": TEXT, "state": TEXT}, {"version": TEXT, "reason": TEXT})),
    "RepositoryRequest": _object({}, {"parameters": PARAMETERS}),
    "Registration": _object(
        {"key": TEXT, "byte_size": {"type": "integer", "minimum": 1}}, {"offset": {**_or_null("integer"), "minimum": 0}}
    ),
    "LogSettings": _object(
        {},
        {"log_info": FLAG, "log_warning": FLAG, "log_error": FLAG, "log_verbose_level": COUNT, "log_file": TEXT, "log_format": TEXT},
    ),
    "Regions": _listed(_object({"name": TEXT, "key": TEXT, "offset": COUNT, "byte_size": COUNT})),
}
