"""The binary tensor data extension: bytes behind the JSON, or nothing but bytes."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from superserve_cli.conformance import expect
from superserve_cli.conformance.case import Case, Check
from superserve_cli.conformance.cases.refusals import still_serves
from superserve_cli.conformance.client import Answer, Client
from superserve_cli.conformance.samples import NO_JSON
from superserve_cli.conformance.target import Target
from superserve_cli.conformance.verdict import NotOffered, Unmet

GROUP: Final = "binary"
EXTENSION: Final = "binary_tensor_data"
TRIES: Final = 3
SIZE: Final = '"binary_data_size": the size of the tensor binary data, in bytes'
LENGTH: Final = "Inference-Header-Content-Length gives the length of the JSON object"
RAW: Final = "with a header length of 0 the body is the one input's bytes"


def post(client: Client, target: Target, head: Mapping[str, Any], raw: bytes, length: object = None) -> Answer:
    """Answer to JSON with bytes behind it; `length` replaces what the header says of the JSON."""
    text = json.dumps(head).encode()
    headers = {expect.HEADER: str(len(text) if length is None else length), "Content-Type": "application/octet-stream"}
    return client.post(target.infer, text + raw, headers)


def binary(target: Target, **changes: Any) -> tuple[dict[str, Any], bytes]:
    """A request all of whose inputs are bytes."""
    tensors = target.samples()
    return {"inputs": [tensor.as_binary() for tensor in tensors], **changes}, b"".join(tensor.raw() for tensor in tensors)


def _wanted(target: Target, *as_bytes: bool | None) -> list[dict[str, Any]]:
    named = zip(target.outputs, as_bytes, strict=False)
    return [{"name": t["name"], **({} if b is None else {"parameters": {"binary_data": b}})} for t, b in named]


def _forms(found: Mapping[str, expect.Output], as_bytes: Sequence[bool]) -> None:
    came = [output.binary for output in found.values()]
    expect.that(came == list(as_bytes), f"outputs as {_words(as_bytes)}", _words(came))


def _words(as_bytes: Sequence[bool]) -> str:
    return ", ".join("bytes" if one else "JSON" for one in as_bytes)


def _must_tell_in_json(target: Target) -> None:
    if any(tensor["datatype"] in NO_JSON for tensor in target.outputs):
        raise NotOffered("the model has outputs of a datatype without a JSON form")


def inputs(client: Client, target: Target) -> None:
    """Bytes in, JSON out."""
    _must_tell_in_json(target)
    _forms(expect.outputs(post(client, target, *binary(target))), [False] * len(target.outputs))


def inputs_mean_the_same(client: Client, target: Target) -> None:
    """Bytes and JSON of one tensor have one answer; a few tries, since the server may have several versions of the model."""
    _must_tell_in_json(target)
    for _ in range(TRIES):
        plain = expect.outputs(client.post(target.infer, target.request()))
        sent = expect.outputs(post(client, target, *binary(target)))
        if all(expect.same(plain[name], sent[name]) for name in plain):
            return
    raise Unmet("the same outputs as from JSON", "others")


def mixed_inputs(client: Client, target: Target) -> None:
    """One input as JSON, the others as bytes."""
    tensors = target.samples()
    if len(tensors) < 2:
        raise NotOffered("the model has one input")
    head = {"inputs": [tensors[0].as_json(), *(tensor.as_binary() for tensor in tensors[1:])]}
    expect.outputs(post(client, target, head, b"".join(tensor.raw() for tensor in tensors[1:])))


def all_outputs(client: Client, target: Target) -> None:
    """One parameter asks for all outputs as bytes."""
    answer = post(client, target, *binary(target, parameters={"binary_data_output": True}))
    _forms(expect.outputs(answer), [True] * len(target.outputs))
    expect.that(expect.HEADER in answer.headers, "the header Inference-Header-Content-Length", dict(answer.headers))


def one_output(client: Client, target: Target) -> None:
    """An output's own parameter asks for it."""
    answer = post(client, target, *binary(target, outputs=_wanted(target, True)))
    _forms(expect.outputs(answer), [True])


def output_wins(client: Client, target: Target) -> None:
    """An output's own parameter overrides the request's, both ways."""
    _must_tell_in_json(target)
    head, raw = binary(target, outputs=_wanted(target, False), parameters={"binary_data_output": True})
    _forms(expect.outputs(post(client, target, head, raw)), [False])
    head, raw = binary(target, outputs=_wanted(target, True), parameters={"binary_data_output": False})
    _forms(expect.outputs(post(client, target, head, raw)), [True])


def mixed_outputs(client: Client, target: Target) -> None:
    """One output as bytes, one as JSON."""
    if len(target.outputs) < 2:
        raise NotOffered("the model has one output")
    _must_tell_in_json(target)
    _forms(expect.outputs(post(client, target, *binary(target, outputs=_wanted(target, True, False)))), [True, False])


def json_in_bytes_out(client: Client, target: Target) -> None:
    """JSON in, bytes out: no header tells of a length, since all of the request is JSON."""
    if any(tensor["datatype"] in NO_JSON for tensor in target.inputs):
        raise NotOffered("the model has inputs of a datatype without a JSON form")
    answer = client.post(target.infer, target.request(parameters={"binary_data_output": True}))
    _forms(expect.outputs(answer), [True] * len(target.outputs))


def raw(client: Client, target: Target) -> None:
    """Nothing but the tensor."""
    answer = client.post(target.infer, _deducible(target), {expect.HEADER: "0"})
    _forms(expect.outputs(answer), [True] * len(target.outputs))


def raw_in_chunks(client: Client, target: Target) -> None:
    """The same in pieces."""
    data = _deducible(target)
    head = client.head("POST", target.infer, f"{expect.HEADER}: 0", "Transfer-Encoding: chunked", "Connection: close")
    pieces = (data[i : i + 7] for i in range(0, len(data), 7))
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    answers = client.raw(head + chunks + b"0\r\n\r\n")
    expect.that(len(answers) == 1, "an answer", "a closed connection")
    expect.outputs(answers[0])


def raw_cut(client: Client, target: Target) -> None:
    """A raw body that is no whole tensor."""
    expect.refused(client.post(target.infer, _deducible(target)[:-1], {expect.HEADER: "0"}))


def raw_for_several(client: Client, target: Target) -> None:
    """A raw body when nobody can say which input it is."""
    if len(target.inputs) < 2:
        raise NotOffered("the model has one input")
    data = b"".join(tensor.raw() for tensor in target.samples())
    expect.refused(client.post(target.infer, data, {expect.HEADER: "0"}))


def _deducible(target: Target) -> bytes:
    """A raw body; raises NotOffered for models whose shape it could not say."""
    if len(target.inputs) > 1:
        raise NotOffered("the model has several inputs")
    told = target.inputs[0]
    if told["datatype"] == "BYTES":
        raise NotOffered("the input is BYTES")
    if sum(size < 0 for size in told["shape"]) > 1:
        raise NotOffered("several dimensions are variable")
    return target.samples()[0].raw()


def _sized(change: Callable[[int], object]) -> Check:
    def check(client: Client, target: Target) -> None:
        head, data = binary(target)
        parameters = head["inputs"][0]["parameters"]
        parameters["binary_data_size"] = change(parameters["binary_data_size"])
        expect.refused(post(client, target, head, data))

    return check


def _length(change: Callable[[int], object]) -> Check:
    def check(client: Client, target: Target) -> None:
        head, data = binary(target)
        expect.refused(post(client, target, head, data, change(len(json.dumps(head)))))

    return check


def _behind(change: Callable[[bytes], bytes]) -> Check:
    def check(client: Client, target: Target) -> None:
        head, data = binary(target)
        expect.refused(post(client, target, head, change(data)))

    return check


def data_twice(client: Client, target: Target) -> None:
    """Data in the JSON and behind it."""
    head, behind = binary(target)
    head["inputs"][0]["data"] = list(target.samples()[0].values)
    expect.refused(post(client, target, head, behind))


def no_header(client: Client, target: Target) -> None:
    """Bytes behind the JSON, and no header that tells where it ends."""
    head, data = binary(target)
    expect.refused(client.post(target.infer, json.dumps(head).encode() + data))


def broken_strings(client: Client, target: Target) -> None:
    """A length that runs beyond the tensor."""
    if target.inputs[0]["datatype"] != "BYTES":
        raise NotOffered("the first input is not BYTES")
    head, data = binary(target)
    expect.refused(post(client, target, head, b"\xff\xff\xff\xff" + data[4:]))


def _case(name: str, sentence: str, check: Check, required: bool = True) -> Case:
    return Case(name, GROUP, sentence, check, required, EXTENSION)


CASES: Final = (
    _case("inputs as bytes", "tensor data follows the JSON object in the order of the inputs", inputs),
    _case("bytes mean what JSON means", "little-endian, row-major, without padding", inputs_mean_the_same),
    _case("inputs as JSON and as bytes", "one or more tensors are communicated as binary data", mixed_inputs),
    _case("all outputs as bytes", '"binary_data_output": all outputs are returned as binary data', all_outputs),
    _case("one output as bytes", '"binary_data": this output is returned as binary data', one_output),
    _case("outputs as bytes and as JSON", '"binary_data" is given per output', mixed_outputs),
    _case("the output's parameter wins", '"binary_data" on an output overrides "binary_data_output"', output_wins),
    _case("JSON in, bytes out", '"binary_data_output" stands in any request', json_in_bytes_out),
    _case("a raw body", RAW, raw),
    _case("a raw body in chunks", RAW, raw_in_chunks),
    _case("a raw body of part of a tensor", RAW, raw_cut),
    _case("a raw body for several inputs", "a raw request must have one input", raw_for_several),
    _case("a size too small", SIZE, _sized(lambda size: size - 1)),
    _case("a size too large", SIZE, _sized(lambda size: size + 1)),
    _case("a size beyond the body", SIZE, _sized(lambda size: 2**40)),
    _case("a negative size", SIZE, _sized(lambda size: -size)),
    _case("a size that is text", SIZE, _sized(str)),
    _case("bytes missing", SIZE, _behind(lambda data: data[:-1])),
    _case("bytes that belong to nothing", SIZE, _behind(lambda data: data + b"\0")),
    _case("data twice", "a tensor is communicated as JSON or as binary data", data_twice),
    _case("a length of elements beyond the tensor", "a BYTES element is a 4-byte length and its bytes", broken_strings),
    _case("no header length", LENGTH, no_header),
    _case("a header length that is text", LENGTH, _length(lambda length: "many")),
    _case("a negative header length", LENGTH, _length(lambda length: -length)),
    _case("a header length beyond the body", LENGTH, _length(lambda length: 2**40)),
    _case("a header length beyond 64 bits", LENGTH, _length(lambda length: 10**30)),
    _case("a header length within the JSON", LENGTH, _length(lambda length: length - 2)),
    _case("serves after bad bytes", "a bad request harms no other", still_serves),
)
