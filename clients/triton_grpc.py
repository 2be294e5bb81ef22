"""tritonclient over gRPC: every call that it has for what superserve offers."""

import argparse
import queue
from uuid import uuid4

import numpy as np
import tritonclient.grpc as client
import tritonclient.utils.shared_memory as shm
from calls import Calls, run
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype

ONES = np.ones((1, 16), np.int32)
COUNTING = np.arange(16, dtype=np.int32).reshape(1, 16)
PATIENCE_S = 20


def tensors() -> list[client.InferInput]:
    """The two inputs of `simple`."""
    found = []
    for name, data in (("INPUT0", COUNTING), ("INPUT1", ONES)):
        tensor = client.InferInput(name, data.shape, "INT32")
        tensor.set_data_from_numpy(data)
        found.append(tensor)
    return found


def sums(result: client.InferResult) -> None:
    """The two outputs of `simple`."""
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), COUNTING + ONES)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), COUNTING - ONES)


def suite(calls: Calls, asked: argparse.Namespace) -> None:
    """Health, metadata, inference, streams, statistics, configuration, repository, shared memory, compression."""
    with client.InferenceServerClient(asked.grpc) as server:
        health_and_metadata(calls, server, asked.model)
        inference(calls, server)
        streams(calls, server)
        numbers(calls, server)
        parameters(calls, server, asked.model)
        errors(calls, server)
        extensions(calls, server, asked.model)
        shared_memory(calls, server)
    options = client.KeepAliveOptions(keepalive_time_ms=10_000, keepalive_timeout_ms=5_000)
    with calls.call("keepalive options"), client.InferenceServerClient(asked.grpc, keepalive_options=options) as server:
        sums(server.infer("simple", tensors()))
    sizes = [("grpc.max_receive_message_length", 1 << 20)]
    with calls.call("channel arguments"), client.InferenceServerClient(asked.grpc, channel_args=sizes) as server:
        sums(server.infer("simple", tensors()))


def health_and_metadata(calls: Calls, server: client.InferenceServerClient, model: str) -> None:
    with calls.call("is_server_live"):
        assert server.is_server_live()
    with calls.call("is_server_ready"):
        assert server.is_server_ready()
    with calls.call("is_model_ready"):
        assert server.is_model_ready(model)
    with calls.call("get_server_metadata"):
        assert "statistics" in server.get_server_metadata().extensions
        assert "extensions" in server.get_server_metadata(as_json=True)
    with calls.call("get_model_metadata"):
        assert server.get_model_metadata(model).name == model
        assert [tensor.name for tensor in server.get_model_metadata("simple").inputs] == ["INPUT0", "INPUT1"]


def inference(calls: Calls, server: client.InferenceServerClient) -> None:
    with calls.call("infer"):
        sums(server.infer("simple", tensors()))
    with calls.call("infer, one output"):
        result = server.infer("simple", tensors(), outputs=[client.InferRequestedOutput("OUTPUT1")])
        assert result.get_output("OUTPUT0") is None
        np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), COUNTING - ONES)
    with calls.call("infer, request_id"):
        assert server.infer("simple", tensors(), request_id="seven").get_response().id == "seven"
    for algorithm in ("gzip", "deflate"):
        with calls.call(f"infer, {algorithm}"):
            sums(server.infer("simple", tensors(), compression_algorithm=algorithm))
    with calls.call("infer, client_timeout"):
        sums(server.infer("simple", tensors(), client_timeout=PATIENCE_S))
    with calls.call("async_infer, eight at once"):
        done: queue.Queue = queue.Queue()
        for _ in range(8):
            server.async_infer("simple", tensors(), callback=lambda result, error: done.put((result, error)))
        for _ in range(8):
            result, error = done.get(timeout=PATIENCE_S)
            assert error is None, error
            sums(result)


def streams(calls: Calls, server: client.InferenceServerClient) -> None:
    with calls.call("start_stream, async_stream_infer, stop_stream"):
        done: queue.Queue = queue.Queue()
        server.start_stream(callback=lambda result, error: done.put((result, error)))
        try:
            for i in range(4):
                server.async_stream_infer("simple", tensors(), request_id=str(i))
            found = [done.get(timeout=PATIENCE_S) for _ in range(4)]
        finally:
            server.stop_stream()
        assert all(error is None for _, error in found), found
        assert sorted(result.get_response().id for result, _ in found) == ["0", "1", "2", "3"]
        for result, _ in found:
            sums(result)


def numbers(calls: Calls, server: client.InferenceServerClient) -> None:
    """Contents as numbers within the tensors, as hand-written clients send them."""
    with calls.call("ModelInfer with explicit contents"):
        request = service_pb2.ModelInferRequest(model_name="simple")
        for name, data in (("INPUT0", COUNTING), ("INPUT1", ONES)):
            tensor = request.inputs.add(name=name, datatype="INT32", shape=[1, 16])
            tensor.contents.int_contents[:] = data.ravel().tolist()
        answer = server._client_stub.ModelInfer(request)
        assert answer.outputs[0].name == "OUTPUT0"


def parameters(calls: Calls, server: client.InferenceServerClient, model: str) -> None:
    with calls.call("infer, timeout and priority"):
        sums(server.infer("simple", tensors(), timeout=5_000_000, priority=1))
    with calls.call("infer on the SuperNet, slo_us and min_accuracy"):
        asked = {"slo_us": 5_000_000, "min_accuracy": 0.1}
        said = server.infer(model, rows(server, model), parameters=asked).get_response().parameters
        assert said["slo_met"].bool_param is True
        assert {"subnet", "accuracy", "batch_size", "queue_us", "compute_us"} <= set(said)
    with calls.refused("infer on the SuperNet, a hopeless timeout", InferenceServerException):
        server.infer(model, rows(server, model), timeout=1)


def rows(server: client.InferenceServerClient, model: str) -> list[client.InferInput]:
    """A row for any model with one input."""
    told = server.get_model_metadata(model).inputs[0]
    data = np.zeros([1 if size < 0 else size for size in told.shape], triton_to_np_dtype(told.datatype))
    tensor = client.InferInput(told.name, data.shape, np_to_triton_dtype(data.dtype))
    tensor.set_data_from_numpy(data)
    return [tensor]


def errors(calls: Calls, server: client.InferenceServerClient) -> None:
    for name, status, infer in (
        ("unknown model", "NOT_FOUND", lambda: server.infer("no-such-model", tensors())),
        ("one input missing", "INVALID_ARGUMENT", lambda: server.infer("simple", tensors()[:1])),
        (
            "unknown output",
            "INVALID_ARGUMENT",
            lambda: server.infer("simple", tensors(), outputs=[client.InferRequestedOutput("OUTPUT9")]),
        ),
    ):
        with calls.call(f"infer, {name}: {status}"):
            try:
                infer()
            except InferenceServerException as error:
                assert error.status() == f"StatusCode.{status}", error.status()
            else:
                raise AssertionError("it was not refused")


def extensions(calls: Calls, server: client.InferenceServerClient, model: str) -> None:
    with calls.call("get_inference_statistics"):
        before = count(server)
        server.infer("simple", tensors())
        assert count(server) == before + 1
    with calls.call("get_model_config"):
        assert server.get_model_config("simple").config.max_batch_size >= 1
        assert server.get_model_config(model).config.name == model
    with calls.call("get_model_repository_index"):
        assert {model, "simple"} <= {entry.name for entry in server.get_model_repository_index().models}
    with calls.call("unload_model"):
        server.unload_model("simple")
        assert not server.is_model_ready("simple")
    with calls.call("load_model"):
        server.load_model("simple")
        sums(server.infer("simple", tensors()))
    with calls.refused("load_model of an unknown model", InferenceServerException):
        server.load_model("no-such-model")
    with calls.call("get_log_settings"):
        server.get_log_settings()
    with calls.refused("get_trace_settings, which is not offered", InferenceServerException):
        server.get_trace_settings()


def count(server: client.InferenceServerClient) -> int:
    """How many inferences `simple` has made."""
    return sum(entry.inference_count for entry in server.get_inference_statistics("simple").model_stats)


def shared_memory(calls: Calls, server: client.InferenceServerClient) -> None:
    key, size = f"/clients-{uuid4().hex}", COUNTING.nbytes
    region = shm.create_shared_memory_region("tensors", key, 4 * size)
    try:
        shm.set_shared_memory_region(region, [COUNTING, ONES])
        with calls.call("register_system_shared_memory"):
            server.register_system_shared_memory("tensors", key, 4 * size)
        with calls.call("get_system_shared_memory_status"):
            assert list(server.get_system_shared_memory_status().regions) == ["tensors"]
        with calls.call("infer through shared memory"):
            inputs = [client.InferInput(name, [1, 16], "INT32") for name in ("INPUT0", "INPUT1")]
            outputs = [client.InferRequestedOutput(name) for name in ("OUTPUT0", "OUTPUT1")]
            for i, tensor in enumerate((*inputs, *outputs)):
                tensor.set_shared_memory("tensors", size, offset=i * size)
            server.infer("simple", inputs, outputs=outputs)
            for i, expected in ((2, COUNTING + ONES), (3, COUNTING - ONES)):
                np.testing.assert_array_equal(shm.get_contents_as_numpy(region, np.int32, [1, 16], i * size), expected)
        with calls.call("unregister_system_shared_memory"):
            server.unregister_system_shared_memory("tensors")
            assert not server.get_system_shared_memory_status().regions
    finally:
        shm.destroy_shared_memory_region(region)


if __name__ == "__main__":
    run(suite)
