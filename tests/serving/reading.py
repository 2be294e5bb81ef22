"""Answers over HTTP, read as a client reads them: the server itself only writes them."""

from superserve_cli.serving.protocol import InferResponse, Tensor, read_object
from superserve_cli.serving.tensors import from_bytes, from_json


def read_response(body: bytes, header_length: int | None = None) -> InferResponse:
    """The answer that a body holds."""
    at = len(body) if header_length is None else header_length
    head = read_object(body[:at])
    outputs = []
    for item in head["outputs"]:
        name, datatype, shape = item["name"], item["datatype"], item["shape"]
        if "data" in item:
            data = from_json(datatype, shape, item["data"])
        else:
            size = item["parameters"]["binary_data_size"]
            data, at = from_bytes(datatype, shape, body, at, size), at + size
        outputs.append(Tensor(name, datatype, data))
    assert at == len(body)
    return InferResponse(head["model_name"], tuple(outputs), head.get("id", ""), head.get("model_version", ""), head.get("parameters", {}))
