"""open-inference-grpc: the stubs that are generated from the specification's protocol buffers."""

import argparse

import grpc
from calls import Calls, run
from open_inference.grpc import protocol as messages
from open_inference.grpc.service import GRPCInferenceServiceStub


def request() -> messages.ModelInferRequest:
    """One for `simple`, its data as numbers."""
    made = messages.ModelInferRequest(model_name="simple", id="seven")
    for name in ("INPUT0", "INPUT1"):
        tensor = made.inputs.add(name=name, datatype="INT32", shape=[1, 16])
        tensor.contents.int_contents[:] = range(16)
    return made


def numbers(answer: messages.ModelInferResponse) -> list[int]:
    """The first output, whichever way it came."""
    if answer.raw_output_contents:
        raw = answer.raw_output_contents[0]
        return [int.from_bytes(raw[i : i + 4], "little", signed=True) for i in range(0, len(raw), 4)]
    return list(answer.outputs[0].contents.int_contents)


def suite(calls: Calls, asked: argparse.Namespace) -> None:
    """All six calls, and every kind of parameter."""
    with grpc.insecure_channel(asked.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)
        with calls.call("ServerLive"):
            assert stub.ServerLive(messages.ServerLiveRequest()).live
        with calls.call("ServerReady"):
            assert stub.ServerReady(messages.ServerReadyRequest()).ready
        with calls.call("ModelReady"):
            assert stub.ModelReady(messages.ModelReadyRequest(name=asked.model)).ready
        with calls.call("ServerMetadata"):
            assert stub.ServerMetadata(messages.ServerMetadataRequest()).name
        with calls.call("ModelMetadata"):
            assert stub.ModelMetadata(messages.ModelMetadataRequest(name=asked.model)).name == asked.model
        infer(calls, stub)


def infer(calls: Calls, stub: GRPCInferenceServiceStub) -> None:
    with calls.call("ModelInfer, contents as numbers"):
        answer = stub.ModelInfer(request())
        assert answer.id == "seven"
        assert numbers(answer) == [2 * n for n in range(16)]
    with calls.call("ModelInfer, contents as bytes"):
        made = request()
        for tensor in made.inputs:
            tensor.ClearField("contents")
            made.raw_input_contents.append(b"".join(n.to_bytes(4, "little") for n in range(16)))
        assert numbers(stub.ModelInfer(made)) == [2 * n for n in range(16)]
    for kind, value in (("bool", True), ("int64", 7), ("string", "a"), ("double", 0.5), ("uint64", 7)):
        with calls.call(f"ModelInfer, a parameter of kind {kind}"):
            made = request()
            made.parameters["x"].CopyFrom(messages.InferParameter(**{f"{kind}_param": value}))
            stub.ModelInfer(made)
    with calls.call("ModelInfer, unknown model: NOT_FOUND"):
        made = request()
        made.model_name = "no-such-model"
        try:
            stub.ModelInfer(made)
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.NOT_FOUND, error.code()
        else:
            raise AssertionError("it was not refused")


if __name__ == "__main__":
    run(suite)
