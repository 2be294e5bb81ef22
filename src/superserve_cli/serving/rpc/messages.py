"""The messages of `inference.GRPCInferenceService`, as `open_inference.proto` declares them."""

from typing import Any, Final, NamedTuple

from google.protobuf.message_factory import GetMessageClass

from superserve_cli.serving.rpc import declared

PACKAGE: Final = "inference"
SERVICE: Final = f"{PACKAGE}.GRPCInferenceService"


class Method(NamedTuple):
    """One call of the service: its path on the wire, its two message classes, and which sides are streams."""

    path: str
    request: Any
    response: Any
    request_streams: bool
    response_streams: bool


POOL: Final = declared.pool("open_inference")


def _message(name: str) -> Any:
    return declared.message(POOL, f"{PACKAGE}.{name}")


def _methods() -> dict[str, Method]:
    return {
        method.name: Method(
            path=f"/{SERVICE}/{method.name}",
            request=GetMessageClass(method.input_type),
            response=GetMessageClass(method.output_type),
            request_streams=method.client_streaming,
            response_streams=method.server_streaming,
        )
        for method in POOL.FindServiceByName(SERVICE).methods
    }


METHODS: Final = _methods()
"""Every call of the service by its name; a request's class is `METHODS[name].request`."""

InferParameter: Final = _message("InferParameter")
InferTensorContents: Final = _message("InferTensorContents")
ModelInferRequest: Final = _message("ModelInferRequest")
ModelInferResponse: Final = _message("ModelInferResponse")
ModelStreamInferResponse: Final = _message("ModelStreamInferResponse")
