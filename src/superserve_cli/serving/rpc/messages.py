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
DATA_TYPES: Final[dict[str, int]] = {value.name: value.number for value in POOL.FindEnumTypeByName(f"{PACKAGE}.DataType").values}
"""`TYPE_FP32` and its like, as a model's configuration numbers them."""

InferParameter: Final = _message("InferParameter")
InferTensorContents: Final = _message("InferTensorContents")
LogSettingsRequest: Final = _message("LogSettingsRequest")
LogSettingsResponse: Final = _message("LogSettingsResponse")
ModelConfig: Final = _message("ModelConfig")
ModelConfigRequest: Final = _message("ModelConfigRequest")
ModelConfigResponse: Final = _message("ModelConfigResponse")
ModelInferRequest: Final = _message("ModelInferRequest")
ModelInferResponse: Final = _message("ModelInferResponse")
ModelMetadataRequest: Final = _message("ModelMetadataRequest")
ModelMetadataResponse: Final = _message("ModelMetadataResponse")
ModelReadyRequest: Final = _message("ModelReadyRequest")
ModelReadyResponse: Final = _message("ModelReadyResponse")
ModelStatistics: Final = _message("ModelStatistics")
ModelStatisticsRequest: Final = _message("ModelStatisticsRequest")
ModelStatisticsResponse: Final = _message("ModelStatisticsResponse")
ModelStreamInferResponse: Final = _message("ModelStreamInferResponse")
RepositoryIndexRequest: Final = _message("RepositoryIndexRequest")
RepositoryIndexResponse: Final = _message("RepositoryIndexResponse")
RepositoryModelLoadRequest: Final = _message("RepositoryModelLoadRequest")
RepositoryModelLoadResponse: Final = _message("RepositoryModelLoadResponse")
RepositoryModelUnloadRequest: Final = _message("RepositoryModelUnloadRequest")
RepositoryModelUnloadResponse: Final = _message("RepositoryModelUnloadResponse")
ServerLiveRequest: Final = _message("ServerLiveRequest")
ServerLiveResponse: Final = _message("ServerLiveResponse")
ServerMetadataRequest: Final = _message("ServerMetadataRequest")
ServerMetadataResponse: Final = _message("ServerMetadataResponse")
ServerReadyRequest: Final = _message("ServerReadyRequest")
ServerReadyResponse: Final = _message("ServerReadyResponse")
SystemSharedMemoryRegisterRequest: Final = _message("SystemSharedMemoryRegisterRequest")
SystemSharedMemoryRegisterResponse: Final = _message("SystemSharedMemoryRegisterResponse")
SystemSharedMemoryStatusRequest: Final = _message("SystemSharedMemoryStatusRequest")
SystemSharedMemoryStatusResponse: Final = _message("SystemSharedMemoryStatusResponse")
SystemSharedMemoryUnregisterRequest: Final = _message("SystemSharedMemoryUnregisterRequest")
SystemSharedMemoryUnregisterResponse: Final = _message("SystemSharedMemoryUnregisterResponse")
TraceSettingRequest: Final = _message("TraceSettingRequest")
TraceSettingResponse: Final = _message("TraceSettingResponse")
