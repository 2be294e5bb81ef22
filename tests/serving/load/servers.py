"""Servers of single inputs that the load generator's tests talk to: a real gRPC server, and certificates for a loopback address."""

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from superserve_cli.serving.rpc import messages

KEY = "s3cret"
PROPERTIES = {"slo_us": "20000", "task": "glyphs", "versions": '{"torch": "2"}', "profile_hash": "12e45", "sustained_qps": "99.5"}
Infer = Callable[[Any, Any], Any]


def one_hot(request: Any, context: Any) -> Any:
    """Says that each image is of the class that its first pixel holds."""
    assert request.parameters["timeout"].int64_param > 0
    rows = request.inputs[0].shape[0]
    pixels = np.frombuffer(request.raw_input_contents[0], np.float32).reshape(rows, -1)[:, 0]
    logits = np.eye(10, dtype=np.float32)[pixels.astype(int)]
    answer = messages.ModelInferResponse(model_name=request.model_name, raw_output_contents=[logits.tobytes()])
    answer.outputs.add(name="logits", datatype="FP32", shape=logits.shape)
    answer.parameters["subnet"].string_param = "d2"
    answer.parameters["accuracy"].double_param = 0.8
    return answer


def metadata(request: Any, context: Any) -> Any:
    if request.name != "glyphs":
        context.abort(grpc.StatusCode.NOT_FOUND, "no such model")
    image = {"name": "image", "datatype": "FP32", "shape": [-1, 1, 2, 2]}
    return messages.METHODS["ModelMetadata"].response(name="glyphs", platform="here", inputs=[image], properties=PROPERTIES)


def calls(infer: Infer, key: str | None) -> Any:
    """The handlers of a server with one model."""
    answers: dict[str, Infer] = {
        "ServerReady": lambda request, context: messages.METHODS["ServerReady"].response(ready=True),
        "ServerMetadata": lambda request, context: messages.METHODS["ServerMetadata"].response(name="real", version="3"),
        "RepositoryIndex": lambda request, context: messages.METHODS["RepositoryIndex"].response(models=[{"name": "glyphs"}]),
        "ModelMetadata": metadata,
        "ModelInfer": infer,
    }

    def locked(answer: Infer) -> Infer:
        def checked(request: Any, context: Any) -> Any:
            if key is not None and dict(context.invocation_metadata()).get("authorization") != f"Bearer {key}":
                context.abort(grpc.StatusCode.UNAUTHENTICATED, "a key is wanted")
            return answer(request, context)

        return checked

    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            locked(answer), messages.METHODS[name].request.FromString, messages.METHODS[name].response.SerializeToString
        )
        for name, answer in answers.items()
    }
    return grpc.method_handlers_generic_handler(messages.SERVICE, handlers)


@contextmanager
def speaking_grpc(infer: Infer = one_hot, key: str | None = None, pem: Path | None = None) -> Iterator[str]:
    """The URL of a gRPC server."""
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((calls(infer, key),))
    if pem is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        both = pem.read_bytes()
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([(both, both)]))
    server.start()
    try:
        yield f"grpc{'s' * (pem is not None)}://127.0.0.1:{port}"
    finally:
        server.stop(0).wait()


def certificate(folder: Path) -> Path:
    """A new key and its own certificate for 127.0.0.1, in one file."""
    pem, key = folder / "both.pem", folder / "key.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1"]
    subprocess.run([*made, *subject, "-keyout", key, "-out", pem], check=True, capture_output=True)
    pem.write_bytes(key.read_bytes() + pem.read_bytes())
    return pem
