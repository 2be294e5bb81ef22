"""What Triton's own example clients do, in their order of calls, with the models that they expect.

Named after the examples `simple_*_client` and their like: sums and differences of `simple`, numbers as text of `simple_string`, and
`simple_identity`.
"""

import argparse
from typing import Any
from uuid import uuid4

import numpy as np
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
import tritonclient.utils.shared_memory as shm
from calls import Calls, run
from tritonclient.utils import InferenceServerException, serialize_byte_tensor

COUNTING = np.arange(16, dtype=np.int32).reshape(1, 16)
ONES = np.ones((1, 16), np.int32)


def texts(numbers: np.ndarray) -> np.ndarray:
    """Numbers as the texts that `simple_string` takes."""
    return np.array([str(n).encode() for n in numbers.ravel()], dtype=np.object_).reshape(numbers.shape)


def tensor(client: Any, name: str, data: np.ndarray, datatype: str, **how: bool) -> Any:
    """An input that holds data."""
    made = client.InferInput(name, list(data.shape), datatype)
    made.set_data_from_numpy(data, **how)
    return made


def strings(calls: Calls, what: str, client: Any, server: Any) -> None:
    with calls.call(f"{what}: string_infer"):
        inputs = [tensor(client, "INPUT0", texts(COUNTING), "BYTES"), tensor(client, "INPUT1", texts(ONES), "BYTES")]
        outputs = [client.InferRequestedOutput("OUTPUT0"), client.InferRequestedOutput("OUTPUT1")]
        result = server.infer("simple_string", inputs, outputs=outputs)
        for name, expected in (("OUTPUT0", COUNTING + ONES), ("OUTPUT1", COUNTING - ONES)):
            assert [int(text) for text in result.as_numpy(name).ravel()] == expected.ravel().tolist()
    with calls.call(f"{what}: identity of text"):
        data = np.array([["", "a", "\u00e9\u65e5", "x" * 300]], dtype=np.object_)
        result = server.infer("simple_identity", [tensor(client, "INPUT0", data, "BYTES")])
        assert [text.decode() for text in result.as_numpy("OUTPUT0").ravel()] == data.ravel().tolist()


def string_memory(calls: Calls, what: str, client: Any, server: Any) -> None:
    with calls.call(f"{what}: shm_string"):
        parts = [serialize_byte_tensor(texts(numbers)) for numbers in (COUNTING, ONES)]
        sizes = [len(part.item()) for part in parts]
        key, room = f"/clients-{uuid4().hex}", 512
        region = shm.create_shared_memory_region("strings", key, sum(sizes) + 2 * room)
        try:
            shm.set_shared_memory_region(region, parts)
            server.register_system_shared_memory("strings", key, sum(sizes) + 2 * room)
            inputs = [client.InferInput(name, [1, 16], "BYTES") for name in ("INPUT0", "INPUT1")]
            outputs = [client.InferRequestedOutput(name) for name in ("OUTPUT0", "OUTPUT1")]
            inputs[0].set_shared_memory("strings", sizes[0])
            inputs[1].set_shared_memory("strings", sizes[1], offset=sizes[0])
            for i, output in enumerate(outputs):
                output.set_shared_memory("strings", room, offset=sum(sizes) + i * room)
            server.infer("simple_string", inputs, outputs=outputs)
            got = shm.get_contents_as_numpy(region, np.object_, [1, 16], sum(sizes))
            assert [int(text) for text in got.ravel()] == (COUNTING + ONES).ravel().tolist()
        finally:
            server.unregister_system_shared_memory("strings")
            shm.destroy_shared_memory_region(region)


def model_control(calls: Calls, what: str, server: Any) -> None:
    with calls.call(f"{what}: model_control"):
        server.load_model("simple")
        assert server.is_model_ready("simple")
        server.unload_model("simple")
        assert not server.is_model_ready("simple")
        try:
            server.load_model("wrong_model_name")
        except InferenceServerException as error:
            assert error.message(), "no message"
        else:
            raise AssertionError("a wrong model name was loaded")
        server.load_model("simple")
        assert server.is_model_ready("simple")


def health_metadata(calls: Calls, what: str, server: Any) -> None:
    with calls.call(f"{what}: health_metadata"):
        assert server.is_server_live()
        assert server.is_server_ready()
        assert server.is_model_ready("simple")
        assert server.get_server_metadata()
        assert server.get_model_metadata("simple")
        try:
            server.get_model_metadata("wrong_model_name")
        except InferenceServerException as error:
            assert error.message(), "no message"
        else:
            raise AssertionError("there is metadata of a wrong model name")


def reuse(calls: Calls, what: str, client: Any, server: Any) -> None:
    with calls.call(f"{what}: reuse_infer_objects"):
        inputs = [tensor(client, "INPUT0", COUNTING, "INT32"), tensor(client, "INPUT1", ONES, "INT32")]
        outputs = [client.InferRequestedOutput("OUTPUT0"), client.InferRequestedOutput("OUTPUT1")]
        for factor in (1, 3):
            inputs[0].set_data_from_numpy(factor * COUNTING)
            result = server.infer("simple", inputs, outputs=outputs)
            np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), factor * COUNTING - ONES)


def batches(calls: Calls, what: str, client: Any, server: Any) -> None:
    with calls.call(f"{what}: eight rows"):
        data = np.arange(8 * 16, dtype=np.int32).reshape(8, 16)
        result = server.infer("simple", [tensor(client, "INPUT0", data, "INT32"), tensor(client, "INPUT1", data, "INT32")])
        np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), 2 * data)
    with calls.refused(f"{what}: nine rows, one more than the model takes", InferenceServerException):
        data = np.zeros((9, 16), np.int32)
        server.infer("simple", [tensor(client, "INPUT0", data, "INT32"), tensor(client, "INPUT1", data, "INT32")])


def suite(calls: Calls, asked: argparse.Namespace) -> None:
    """The call patterns of Triton's examples."""
    for what, client, address in (("http", over_http, asked.http), ("grpc", over_grpc, asked.grpc)):
        with client.InferenceServerClient(address) as server:
            health_metadata(calls, what, server)
            strings(calls, what, client, server)
            string_memory(calls, what, client, server)
            reuse(calls, what, client, server)
            batches(calls, what, client, server)
            model_control(calls, what, server)
    with calls.call("http: string data as JSON"), over_http.InferenceServerClient(asked.http) as server:
        inputs = [
            tensor(over_http, "INPUT0", texts(COUNTING), "BYTES", binary_data=False),
            tensor(over_http, "INPUT1", texts(ONES), "BYTES", binary_data=False),
        ]
        outputs = [over_http.InferRequestedOutput("OUTPUT0", binary_data=False)]
        result = server.infer("simple_string", inputs, outputs=outputs)
        assert [int(text) for text in result.as_numpy("OUTPUT0").ravel()] == (COUNTING + ONES).ravel().tolist()


if __name__ == "__main__":
    run(suite)
