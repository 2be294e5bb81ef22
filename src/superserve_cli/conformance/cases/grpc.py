"""The same protocol over gRPC."""

from collections.abc import Callable
from math import prod
from typing import Any, Final

from superserve_cli.conformance import expect
from superserve_cli.conformance.case import Case, Check
from superserve_cli.conformance.cases.names import NOBODY
from superserve_cli.conformance.rpc import Rpc, message, refused
from superserve_cli.conformance.samples import Sample, unpacked
from superserve_cli.conformance.target import Target
from superserve_cli.conformance.verdict import NotOffered, Unmet
from superserve_cli.serving.rpc.messages import InferParameter, InferTensorContents, ModelInferRequest

GROUP: Final = "grpc"
CONTENTS: Final = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
BAD: Final = "INVALID_ARGUMENT"
SERVING: Final = b"\x08\x01"
"""A HealthCheckResponse whose status is SERVING."""


def request(target: Target, raw: bool = True, **fields: Any) -> Any:
    """A request that the server should serve, its data as bytes beside the tensors or as numbers in them."""
    tensors = target.samples()
    inputs = [_input(tensor, raw) for tensor in tensors]
    return ModelInferRequest(
        model_name=target.name, inputs=inputs, raw_input_contents=[tensor.raw() for tensor in tensors] if raw else (), **fields
    )


def _input(tensor: Sample, raw: bool) -> Any:
    item = ModelInferRequest.InferInputTensor(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    if not raw:
        item.contents.CopyFrom(_contents(tensor))
    return item


def _contents(tensor: Sample) -> Any:
    if tensor.datatype not in CONTENTS:
        raise NotOffered(f"{tensor.datatype} has no contents field")
    values = [value.encode() for value in tensor.values] if tensor.datatype == "BYTES" else tensor.values
    return InferTensorContents(**{CONTENTS[tensor.datatype]: values})


def outputs(target: Target, answer: Any) -> dict[str, expect.Output]:
    """The tensors of an answer, whichever way they came, each as long as it says."""
    expect.that(answer.model_name == target.name, f"model_name {target.name}", answer.model_name)
    raw = list(answer.raw_output_contents)
    expect.that(len(raw) in (0, len(answer.outputs)), f"{len(answer.outputs)} raw_output_contents, or none", len(raw))
    return {tensor.name: _output(tensor, raw[i] if raw else None) for i, tensor in enumerate(answer.outputs)}


def _output(tensor: Any, raw: bytes | None) -> expect.Output:
    shape = tuple(tensor.shape)
    try:
        values = tuple(getattr(tensor.contents, CONTENTS[tensor.datatype])) if raw is None else unpacked(tensor.datatype, raw)
    except (KeyError, ValueError) as error:
        raise Unmet(f"the contents of {tensor.name}", repr(error)) from None
    expect.that(len(values) == prod(shape), f"{prod(shape)} values for shape {list(shape)}", len(values))
    return expect.Output(tensor.name, tensor.datatype, shape, values, raw is not None)


def live(rpc: Rpc, target: Target) -> None:
    """The server is live."""
    expect.that(rpc.got("ServerLive").live, "live", "not live")


def ready(rpc: Rpc, target: Target) -> None:
    """The server is ready."""
    expect.that(rpc.got("ServerReady").ready, "ready", "not ready")


def model_ready(rpc: Rpc, target: Target) -> None:
    """The model is ready."""
    expect.that(rpc.got("ModelReady", name=target.name).ready, "ready", "not ready")


def server(rpc: Rpc, target: Target) -> None:
    """The server says the same of itself as over HTTP."""
    said = rpc.got("ServerMetadata")
    expect.that(f"{said.name} {said.version}".strip() == target.server, target.server, f"{said.name} {said.version}")
    expect.that(set(said.extensions) == target.extensions, f"extensions {sorted(target.extensions)}", sorted(said.extensions))


def model(rpc: Rpc, target: Target) -> None:
    """So does the model."""
    said = rpc.got("ModelMetadata", name=target.name)
    for came, told in ((said.inputs, target.inputs), (said.outputs, target.outputs)):
        expect.that(
            [(t.name, t.datatype, list(t.shape)) for t in came] == [(t["name"], t["datatype"], t["shape"]) for t in told],
            "the tensors that HTTP tells",
            [t.name for t in came],
        )


def raw(rpc: Rpc, target: Target) -> None:
    """Inputs as bytes."""
    found = outputs(target, message(rpc.send("ModelInfer", request(target))))
    expect.that(set(found) == {t["name"] for t in target.outputs}, f"the outputs {[t['name'] for t in target.outputs]}", list(found))


def typed(rpc: Rpc, target: Target) -> None:
    """Inputs as numbers."""
    outputs(target, message(rpc.send("ModelInfer", request(target, raw=False))))


def id_returned(rpc: Rpc, target: Target) -> None:
    """The identifier comes back."""
    answer = message(rpc.send("ModelInfer", request(target, id="request-7")))
    expect.that(answer.id == "request-7", "the id 'request-7'", repr(answer.id))


def some_outputs(rpc: Rpc, target: Target) -> None:
    """Only those asked for come."""
    name = target.outputs[0]["name"]
    wanted = [ModelInferRequest.InferRequestedOutputTensor(name=name)]
    found = outputs(target, message(rpc.send("ModelInfer", request(target, outputs=wanted))))
    expect.that(list(found) == [name], f"the outputs {[name]}", list(found))


def unknown_parameters(rpc: Rpc, target: Target) -> None:
    """Parameters of every kind that the specification has."""
    kinds: dict[str, dict[str, Any]] = {"x_flag": {"bool_param": True}, "x_number": {"int64_param": 7}, "x_text": {"string_param": "a"}}
    parameters = {name: InferParameter(**kind) for name, kind in kinds.items()}
    outputs(target, message(rpc.send("ModelInfer", request(target, parameters=parameters))))


def timeout(rpc: Rpc, target: Target) -> None:
    """A generous timeout, as clients send it."""
    parameters = {"timeout": InferParameter(int64_param=60_000_000), "priority": InferParameter(uint64_param=1)}
    outputs(target, message(rpc.send("ModelInfer", request(target, parameters=parameters))))


def streamed(rpc: Rpc, target: Target) -> None:
    """Two requests on one stream, each answered with its id."""
    reply = rpc.stream("ModelStreamInfer", [request(target, id="a"), request(target, id="b")])
    if reply.code == "UNIMPLEMENTED":
        raise NotOffered("the server has no ModelStreamInfer")
    expect.that(reply.code == "OK", "status OK", reply)
    errors = [answer.error_message for answer in reply.messages if answer.error_message]
    expect.that(not errors, "no errors", errors)
    ids = sorted(answer.infer_response.id for answer in reply.messages)
    expect.that(ids == ["a", "b"], "answers to a and b", ids)


def health(rpc: Rpc, target: Target) -> None:
    """GRPC's own health service, for which Kubernetes probes look."""
    reply = rpc.send_bytes("/grpc.health.v1.Health/Check", b"")
    if reply.code == "UNIMPLEMENTED":
        raise NotOffered("the server has no grpc.health.v1.Health")
    expect.that(message(reply) == SERVING, "SERVING", reply.messages)


def nothing_there(rpc: Rpc, target: Target) -> None:
    """A method that the service does not have."""
    refused(rpc.send_bytes("/inference.GRPCInferenceService/NoSuchMethod", b""), "UNIMPLEMENTED")


def no_message(rpc: Rpc, target: Target) -> None:
    """Bytes that are no message."""
    reply = rpc.send_bytes("/inference.GRPCInferenceService/ModelInfer", b"\xff" * 16)
    expect.that(reply.code not in ("OK", "UNAVAILABLE"), "an error", reply)


def unknown_model(rpc: Rpc, target: Target) -> None:
    """A model that does not exist."""
    bad = request(target)
    bad.model_name = NOBODY
    refused(rpc.send("ModelInfer", bad), "NOT_FOUND", BAD)


def unknown_metadata(rpc: Rpc, target: Target) -> None:
    """Its metadata."""
    refused(rpc.ask("ModelMetadata", name=NOBODY), "NOT_FOUND", BAD)


def statistics(rpc: Rpc, target: Target) -> None:
    """Counts and durations of the model."""
    said = rpc.got("ModelStatistics", name=target.name).model_stats
    expect.that(bool(said) and said[0].name == target.name, f"an entry of {target.name}", said)


def configuration(rpc: Rpc, target: Target) -> None:
    """The model's configuration."""
    said = rpc.got("ModelConfig", name=target.name).config
    expect.that(said.name == target.name, f"a configuration of {target.name}", said.name)


def index(rpc: Rpc, target: Target) -> None:
    """The models of the repository."""
    names = [entry.name for entry in rpc.got("RepositoryIndex").models]
    expect.that(target.name in names, f"an entry of {target.name}", names)


def still_serves(rpc: Rpc, target: Target) -> None:
    """After all that, the server serves."""
    outputs(target, message(rpc.send("ModelInfer", request(target))))


def _refuses(change: Callable[[Any], object]) -> Check:
    """A case: a request that a change makes senseless is an INVALID_ARGUMENT."""

    def check(rpc: Rpc, target: Target) -> None:
        bad = request(target)
        change(bad)
        refused(rpc.send("ModelInfer", bad), BAD)

    return check


def _shaped(*shape: int) -> Check:
    def change(bad: Any) -> None:
        del bad.inputs[0].shape[:]
        bad.inputs[0].shape.extend(shape)

    return _refuses(change)


def _set(field: str, value: str) -> Check:
    return _refuses(lambda bad: setattr(bad.inputs[0], field, value))


def both(rpc: Rpc, target: Target) -> None:
    """Contents in the tensors and beside them."""
    bad = request(target)
    bad.inputs[0].contents.CopyFrom(_contents(target.samples()[0]))
    refused(rpc.send("ModelInfer", bad), BAD)


def _cut(bad: Any) -> None:
    bad.raw_input_contents[0] = bad.raw_input_contents[0][:-1]


def _case(name: str, sentence: str, check: Check, required: bool = True, extension: str = "") -> Case:
    return Case(name, GROUP, sentence, check, required, extension)


ERROR: Final = "errors are indicated by the google.rpc.Status returned for the request"
TENSORS: Final = "shape, datatype and contents of a tensor belong together"
CASES: Final = (
    _case("server live", "ServerLive: true if the server is live", live),
    _case("server ready", "ServerReady: true if the server is ready", ready),
    _case("model ready", "ModelReady: true if the model is ready", model_ready),
    _case("server metadata", "ServerMetadata: name, version, extensions", server),
    _case("model metadata", "ModelMetadata: inputs and outputs of the model", model),
    _case("inputs as bytes", "raw_input_contents: the inputs' data in the order of the inputs", raw),
    _case("inputs as numbers", "contents: the tensor's data in the field of its datatype", typed),
    _case("id is returned", "id: if specified it is returned in the response", id_returned),
    _case("only the outputs asked for", "outputs: the output tensors requested for this inference", some_outputs),
    _case("unknown parameters", "parameters: bool, int64 or string", unknown_parameters),
    _case("priority and timeout", "the schedule policy extension's parameters", timeout, extension="schedule_policy"),
    _case("a stream", "ModelStreamInfer: requests and answers on one stream", streamed, required=False),
    _case("health of gRPC", "grpc.health.v1.Health", health, required=False),
    _case("statistics", "ModelStatistics of the statistics extension", statistics, extension="statistics"),
    _case("configuration", "ModelConfig of the model configuration extension", configuration, extension="model_configuration"),
    _case("index", "RepositoryIndex of the model repository extension", index, extension="model_repository"),
    _case("unknown method", ERROR, nothing_there),
    _case("bytes that are no message", ERROR, no_message),
    _case("unknown model", ERROR, unknown_model),
    _case("metadata of an unknown model", ERROR, unknown_metadata),
    _case("no inputs", ERROR, _refuses(lambda bad: bad.ClearField("inputs"))),
    _case("an unknown input", ERROR, _set("name", "no-such-input")),
    _case("an unknown datatype", ERROR, _set("datatype", "FP12")),
    _case("an unknown output", ERROR, _refuses(lambda bad: bad.outputs.add(name="no-such-output"))),
    _case("an input twice", ERROR, _refuses(lambda bad: bad.inputs.append(bad.inputs[0]))),
    _case("a negative size", TENSORS, _shaped(2, -5)),
    _case("sizes whose product overflows", TENSORS, _shaped(2**4, 2**60 + 2)),
    _case("sizes whose bytes overflow", TENSORS, _shaped(2**2, 2**60 + 2)),
    _case("bytes missing", TENSORS, _refuses(_cut)),
    _case("fewer contents than inputs", TENSORS, _refuses(lambda bad: bad.raw_input_contents.pop())),
    _case("more contents than inputs", TENSORS, _refuses(lambda bad: bad.raw_input_contents.append(b"\0"))),
    _case("contents in two places", "contents must not be specified when raw_input_contents are", both),
    _case("serves after bad requests", "a bad request harms no other", still_serves),
)
