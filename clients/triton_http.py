"""tritonclient over HTTP: every call that it has for what superserve offers."""

import argparse
from uuid import uuid4

import numpy as np
import tritonclient.http as client
import tritonclient.utils.shared_memory as shm
from calls import Calls, run
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype

ONES = np.ones((1, 16), np.int32)
COUNTING = np.arange(16, dtype=np.int32).reshape(1, 16)


def tensors(binary: bool = True) -> list[client.InferInput]:
    """The two inputs of `simple`."""
    found = []
    for name, data in (("INPUT0", COUNTING), ("INPUT1", ONES)):
        tensor = client.InferInput(name, data.shape, "INT32")
        tensor.set_data_from_numpy(data, binary_data=binary)
        found.append(tensor)
    return found


def sums(result: client.InferResult) -> None:
    """The two outputs of `simple`."""
    np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), COUNTING + ONES)
    np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), COUNTING - ONES)


def suite(calls: Calls, asked: argparse.Namespace) -> None:
    """Health, metadata, inference, statistics, configuration, repository, logging, shared memory, compression."""
    with client.InferenceServerClient(asked.http, concurrency=4) as server:
        health_and_metadata(calls, server, asked.model)
        inference(calls, server)
        parameters(calls, server, asked.model)
        errors(calls, server)
        extensions(calls, server, asked.model)
        shared_memory(calls, server)


def health_and_metadata(calls: Calls, server: client.InferenceServerClient, model: str) -> None:
    with calls.call("is_server_live"):
        assert server.is_server_live()
    with calls.call("is_server_ready"):
        assert server.is_server_ready()
    with calls.call("is_model_ready"):
        assert server.is_model_ready(model)
        assert server.is_model_ready("simple")
    with calls.call("is_model_ready of an unknown model"):
        assert not server.is_model_ready("no-such-model")
    with calls.call("get_server_metadata"):
        assert "binary_tensor_data" in server.get_server_metadata()["extensions"]
    with calls.call("get_model_metadata"):
        assert server.get_model_metadata(model)["name"] == model
        said = server.get_model_metadata("simple")
        assert [tensor["name"] for tensor in said["inputs"]] == ["INPUT0", "INPUT1"]
    with calls.call("get_model_metadata of a version"):
        version = server.get_model_metadata(model)["versions"][0]
        assert server.get_model_metadata(model, version)["name"] == model


def inference(calls: Calls, server: client.InferenceServerClient) -> None:
    with calls.call("infer, binary (the default)"):
        sums(server.infer("simple", tensors()))
    with calls.call("infer, JSON"):
        outputs = [client.InferRequestedOutput(name, binary_data=False) for name in ("OUTPUT0", "OUTPUT1")]
        sums(server.infer("simple", tensors(binary=False), outputs=outputs))
    with calls.call("infer, JSON and binary mixed"):
        mixed = [tensors(binary=True)[0], tensors(binary=False)[1]]
        outputs = [client.InferRequestedOutput("OUTPUT0", binary_data=True), client.InferRequestedOutput("OUTPUT1", binary_data=False)]
        sums(server.infer("simple", mixed, outputs=outputs))
    with calls.call("infer, one output"):
        result = server.infer("simple", tensors(), outputs=[client.InferRequestedOutput("OUTPUT1")])
        assert result.get_output("OUTPUT0") is None
        np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), COUNTING - ONES)
    with calls.call("infer, request_id"):
        assert server.infer("simple", tensors(), request_id="seven").get_response()["id"] == "seven"
    for algorithm in ("gzip", "deflate"):
        with calls.call(f"infer, {algorithm} request"):
            sums(server.infer("simple", tensors(), request_compression_algorithm=algorithm))
        with calls.call(f"infer, {algorithm} answer"):
            sums(server.infer("simple", tensors(), response_compression_algorithm=algorithm))
    with calls.call("async_infer, eight at once"):
        for pending in [server.async_infer("simple", tensors()) for _ in range(8)]:
            sums(pending.get_result())


def parameters(calls: Calls, server: client.InferenceServerClient, model: str) -> None:
    with calls.call("infer, timeout and priority"):
        sums(server.infer("simple", tensors(), timeout=5_000_000, priority=1))
    with calls.call("infer on the SuperNet, slo_us and min_accuracy"):
        result = server.infer(model, rows(server, model), parameters={"slo_us": 5_000_000, "min_accuracy": 0.1}).get_response()
        assert result["parameters"]["slo_met"] is True
        assert {"subnet", "accuracy", "batch_size", "queue_us", "compute_us"} <= result["parameters"].keys()
    with calls.call("infer on the SuperNet, a pinned subnet"):
        subnet = server.get_model_metadata(model)["parameters"]["subnets"][0]["id"]
        result = server.infer(model, rows(server, model), parameters={"subnet": subnet, "slo_us": 5_000_000}).get_response()
        assert result["parameters"]["subnet"] == subnet
    with calls.refused("infer on the SuperNet, a hopeless timeout", InferenceServerException):
        server.infer(model, rows(server, model), timeout=1)


def rows(server: client.InferenceServerClient, model: str) -> list[client.InferInput]:
    """A row for any model with one input."""
    told = server.get_model_metadata(model)["inputs"][0]
    data = np.zeros([1 if size < 0 else size for size in told["shape"]], triton_to_np_dtype(told["datatype"]))
    tensor = client.InferInput(told["name"], data.shape, np_to_triton_dtype(data.dtype))
    tensor.set_data_from_numpy(data)
    return [tensor]


def errors(calls: Calls, server: client.InferenceServerClient) -> None:
    with calls.refused("infer, unknown model", InferenceServerException):
        server.infer("no-such-model", tensors())
    with calls.refused("infer, one input missing", InferenceServerException):
        server.infer("simple", tensors()[:1])
    with calls.refused("infer, unknown output", InferenceServerException):
        server.infer("simple", tensors(), outputs=[client.InferRequestedOutput("OUTPUT9")])
    with calls.refused("infer, wrong shape", InferenceServerException):
        tensor = client.InferInput("INPUT0", (1, 4), "INT32")
        tensor.set_data_from_numpy(ONES[:, :4])
        server.infer("simple", [tensor, tensors()[1]])
    with calls.refused("get_model_metadata of an unknown model", InferenceServerException):
        server.get_model_metadata("no-such-model")


def extensions(calls: Calls, server: client.InferenceServerClient, model: str) -> None:
    with calls.call("get_inference_statistics"):
        before = count(server)
        server.infer("simple", tensors())
        assert count(server) == before + 1
    with calls.call("get_inference_statistics of all models"):
        assert {model, "simple"} <= {entry["name"] for entry in server.get_inference_statistics()["model_stats"]}
    with calls.call("get_model_config"):
        assert server.get_model_config("simple")["max_batch_size"] >= 1
        assert server.get_model_config(model)["name"] == model
    with calls.call("get_model_repository_index"):
        assert {model, "simple"} <= {entry["name"] for entry in server.get_model_repository_index()}
    with calls.call("unload_model"):
        server.unload_model("simple")
        assert not server.is_model_ready("simple")
    with calls.call("load_model"):
        server.load_model("simple")
        assert server.is_model_ready("simple")
        sums(server.infer("simple", tensors()))
    with calls.refused("load_model of an unknown model", InferenceServerException):
        server.load_model("no-such-model")
    with calls.call("get_log_settings and update_log_settings"):
        told = server.get_log_settings()
        server.update_log_settings({"log_info": told["log_info"]})
    with calls.refused("get_trace_settings, which is not offered", InferenceServerException):
        server.get_trace_settings()


def count(server: client.InferenceServerClient) -> int:
    """How many inferences `simple` has made."""
    return sum(entry["inference_count"] for entry in server.get_inference_statistics("simple")["model_stats"])


def shared_memory(calls: Calls, server: client.InferenceServerClient) -> None:
    key, size = f"/clients-{uuid4().hex}", COUNTING.nbytes
    region = shm.create_shared_memory_region("tensors", key, 4 * size)
    try:
        shm.set_shared_memory_region(region, [COUNTING, ONES])
        with calls.call("register_system_shared_memory"):
            server.register_system_shared_memory("tensors", key, 4 * size)
        with calls.call("get_system_shared_memory_status"):
            assert [entry["name"] for entry in server.get_system_shared_memory_status()] == ["tensors"]
        with calls.call("infer through shared memory"):
            through(server, region, size)
        with calls.call("unregister_system_shared_memory"):
            server.unregister_system_shared_memory("tensors")
            assert server.get_system_shared_memory_status() == []
        with calls.refused("infer through a region that is gone", InferenceServerException):
            through(server, region, size)
    finally:
        shm.destroy_shared_memory_region(region)


def through(server: client.InferenceServerClient, region: object, size: int) -> None:
    """`simple`, its inputs and outputs in one region."""
    inputs = [client.InferInput(name, [1, 16], "INT32") for name in ("INPUT0", "INPUT1")]
    outputs = [client.InferRequestedOutput(name) for name in ("OUTPUT0", "OUTPUT1")]
    for i, tensor in enumerate((*inputs, *outputs)):
        tensor.set_shared_memory("tensors", size, offset=i * size)
    server.infer("simple", inputs, outputs=outputs)
    for i, expected in ((2, COUNTING + ONES), (3, COUNTING - ONES)):
        np.testing.assert_array_equal(shm.get_contents_as_numpy(region, np.int32, [1, 16], i * size), expected)


if __name__ == "__main__":
    run(suite)
