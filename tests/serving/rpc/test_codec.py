"""The codec against tensors and parameters of every kind, and against what no client should send."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from superserve_cli.serving.protocol import InferRequest, InferResponse, Tensor, Wanted
from superserve_cli.serving.refusals import Invalid, Missing, TooLarge
from superserve_cli.serving.rpc.codec import CONTENTS, parsed, read_parameters, read_request, write_parameters, write_response
from superserve_cli.serving.rpc.messages import ModelInferRequest, ModelInferResponse
from superserve_cli.serving.shared_memory import MOST_BYTES, Place
from superserve_cli.serving.tensors import DTYPES, to_bytes

SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
NAMES = st.text(st.characters(codec="utf-8"), max_size=8)
SCALARS = st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | NAMES
EXACT = tuple(datatype for datatype in DTYPES if datatype != "BF16")
PARAMETERS = st.dictionaries(NAMES, SCALARS, max_size=4)


def numbers(datatype: str) -> st.SearchStrategy[Any]:
    if datatype == "BYTES":
        return SHAPES.flatmap(lambda shape: arrays.arrays(object, shape, elements=st.binary(max_size=5), fill=st.nothing()))
    return SHAPES.flatmap(lambda shape: arrays.arrays(DTYPES[datatype], shape))


def tensors(datatypes: tuple[str, ...]) -> st.SearchStrategy[Tensor]:
    one = st.sampled_from(datatypes).flatmap(lambda datatype: st.tuples(NAMES, st.just(datatype), numbers(datatype)))
    return one.map(lambda parts: Tensor(*parts))


def message(request: InferRequest, raw: bool) -> Any:
    """What a client makes of a request."""
    made = ModelInferRequest(model_name="m", id=request.id)
    write_parameters(request.parameters, made.parameters)
    for name, datatype, data in request.inputs:
        tensor = made.inputs.add(name=name, datatype=datatype, shape=data.shape)
        if raw:
            made.raw_input_contents.append(to_bytes(datatype, data))
        else:
            getattr(tensor.contents, CONTENTS[datatype]).extend(data.ravel().tolist())
    for wanted in request.outputs:
        made.outputs.add(name=wanted.name)
    return parsed(ModelInferRequest, made.SerializeToString())


def same(ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...]) -> None:
    assert [tensor[:2] for tensor in ours] == [tensor[:2] for tensor in theirs]
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
        assert (one.data.shape, one.data.dtype) == (other.data.shape, other.data.dtype)


@given(st.lists(tensors(EXACT), max_size=3).map(tuple), PARAMETERS, NAMES, st.lists(NAMES, max_size=3))
def test_any_request_of_bytes_arrives_as_it_was_sent(
    inputs: tuple[Tensor, ...], parameters: Mapping[str, Any], id: str, wanted: list[str]
) -> None:
    sent = InferRequest(inputs, id, parameters, tuple(Wanted(name, True) for name in wanted), binary_output=True)
    read = read_request(message(sent, raw=True))
    same(read.inputs, inputs)
    assert read._replace(inputs=()) == sent._replace(inputs=())


@given(st.lists(tensors(tuple(CONTENTS)), min_size=1, max_size=3).map(tuple))
def test_any_request_of_numbers_arrives_as_it_was_sent(inputs: tuple[Tensor, ...]) -> None:
    read = read_request(message(InferRequest(inputs), raw=False))
    same(read.inputs, inputs)
    assert read.binary_output == all(tensor.data.size == 0 for tensor in inputs)


@given(PARAMETERS)
def test_parameters_keep_their_values_and_their_types(parameters: Mapping[str, Any]) -> None:
    made = ModelInferRequest()
    write_parameters(parameters, made.parameters)
    read = read_parameters(made.parameters)
    assert read == parameters
    assert {name: type(value) for name, value in read.items()} == {name: type(value) for name, value in parameters.items()}


@given(st.lists(tensors(EXACT), max_size=3).map(tuple), PARAMETERS)
def test_an_answer_of_bytes_has_one_entry_for_every_output(outputs: tuple[Tensor, ...], parameters: Mapping[str, Any]) -> None:
    answer = write_response(InferResponse("m", outputs, "7", "v", parameters))
    read = ModelInferResponse.FromString(answer.SerializeToString())
    assert (read.model_name, read.id, read.model_version, read_parameters(read.parameters)) == ("m", "7", "v", parameters)
    assert list(read.raw_output_contents) == [to_bytes(tensor.datatype, tensor.data) for tensor in outputs]
    assert [(o.name, o.datatype, tuple(o.shape)) for o in read.outputs] == [(t.name, t.datatype, t.data.shape) for t in outputs]


@given(st.lists(tensors(tuple(CONTENTS)), max_size=3).map(tuple))
def test_an_answer_of_numbers_holds_them(outputs: tuple[Tensor, ...]) -> None:
    answer = write_response(InferResponse("m", outputs), raw=False)
    assert not answer.raw_output_contents
    for (_, datatype, data), output in zip(outputs, answer.outputs, strict=True):
        np.testing.assert_array_equal(list(getattr(output.contents, CONTENTS[datatype])), data.ravel().tolist())


@given(arrays.arrays(np.uint16, SHAPES))
def test_brain_floats_come_and_go_as_the_upper_halves_of_floats(halves: Any) -> None:
    sent = raw("BF16", halves.shape, halves.tobytes())
    (tensor,) = read_request(sent).inputs
    assert tensor.data.dtype == np.float32
    answer = write_response(InferResponse("m", (tensor,)), raw=False)
    number = ~np.isnan(tensor.data.ravel())
    assert np.array_equal(np.frombuffer(answer.raw_output_contents[0], "<u2")[number], halves.ravel()[number])


def test_as_many_of_the_best_classes_as_are_wanted_can_be_asked_for() -> None:
    made = raw("FP32", (2,), bytes(8))
    made.outputs.add(name="y").parameters["classification"].int64_param = 3
    assert read_request(made).outputs == (Wanted("y", True, None, 3),)


def test_an_answer_with_halves_is_one_of_bytes_even_to_a_request_of_numbers() -> None:
    halves, ones = Tensor("h", "FP16", np.ones(2, np.float16)), Tensor("o", "FP32", np.ones(2, np.float32))
    answer = write_response(InferResponse("m", (halves, ones)), raw=False)
    assert [len(raw) for raw in answer.raw_output_contents] == [4, 8]


def test_numbers_are_views_of_the_message() -> None:
    read = read_request(message(InferRequest((Tensor("x", "FP32", np.ones((2, 3), np.float32)),)), raw=True))
    assert isinstance(read.inputs[0].data.base, np.ndarray | bytes)
    assert not read.inputs[0].data.flags.writeable


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_are_refused(body: bytes) -> None:
    with suppress(Invalid, TooLarge, Missing):
        read_request(parsed(ModelInferRequest, body))


def typed(datatype: str = "FP32", shape: tuple[int, ...] = (2,), **contents: Any) -> Any:
    made = ModelInferRequest()
    tensor = made.inputs.add(name="x", datatype=datatype, shape=shape)
    for kind, values in contents.items():
        getattr(tensor.contents, kind).extend(values)
    return made


def raw(datatype: str = "FP32", shape: tuple[int, ...] = (2,), *bodies: bytes) -> Any:
    made = ModelInferRequest(raw_input_contents=bodies)
    made.inputs.add(name="x", datatype=datatype, shape=shape)
    return made


def two(body: bytes) -> Any:
    made = raw("FP32", (2,), body)
    made.inputs.add(name="y", datatype="FP32", shape=(2,))
    return made


def many() -> Any:
    made = ModelInferRequest()
    for _ in range(65):
        made.inputs.add(name="x", datatype="FP32", shape=(0,))
    return made


def mixed() -> Any:
    made = typed(fp32_contents=[1, 2])
    made.raw_input_contents.append(bytes(8))
    return made


def valueless() -> Any:
    made = raw("FP32", (2,), bytes(8))
    made.parameters["timeout"].SetInParent()
    return made


def classified() -> Any:
    made = raw("FP32", (2,), bytes(8))
    made.outputs.add(name="y").parameters["classification"].int64_param = -3
    return made


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        (many(), "65 tensors are more than the 64"),
        (mixed(), "exclude each other"),
        (raw("FP32", (2,), bytes(7)), "takes 8 bytes, not 7"),
        (raw("FP32", (2,), bytes(8), bytes(8)), "2 raw_input_contents stand beside 1 inputs"),
        (raw("FP32", (2,)), "has 2 elements, and fp32_contents 0"),
        (two(bytes(8)), "1 raw_input_contents stand beside more inputs"),
        (raw("FP32", (2**60, 2**60), bytes(8)), "too large"),
        (raw("FP32", (-1,), bytes(8)), "at least 0"),
        (raw("FP32", (1,) * 17, bytes(4)), "at most 16 sizes"),
        (raw("FLOAT", (2,), bytes(8)), "'FLOAT' is none of"),
        (raw("BYTES", (1,), b"\xff\0\0\0a"), "within an element"),
        (raw("BOOL", (2,), b"\1\2"), "0 or 1"),
        (typed(fp32_contents=[1]), "has 2 elements, and fp32_contents 1"),
        (typed(shape=(2**60,), fp32_contents=[1]), "too large"),
        (typed(fp64_contents=[1, 2]), "belongs into fp32_contents, not into fp64_contents"),
        (typed("FP16", fp32_contents=[1, 2]), "FP16 goes into raw_input_contents"),
        (typed("INT8", int_contents=[1, 128]), "does not fit into INT8"),
        (typed("UINT16", uint_contents=[1, 2**16]), "does not fit into UINT16"),
        (valueless(), "'timeout' has no value"),
        (classified(), "classification"),
    ],
)
def test_what_cannot_be_understood_is_refused_and_says_why(request_: Any, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        read_request(request_)


def test_what_is_no_message_is_refused() -> None:
    with pytest.raises(Invalid, match=r"not a inference\.ModelInferRequest"):
        parsed(ModelInferRequest, b"\xff\xff")


def shared(*places: Place, **contents: Any) -> Any:
    made = typed(**contents)
    for _ in places[1:]:
        made.inputs.add(name="x", datatype="FP32", shape=(2,))
    for tensor, place in zip(made.inputs, places, strict=True):
        tensor.parameters["shared_memory_region"].string_param = place.region
        tensor.parameters["shared_memory_byte_size"].int64_param = place.byte_size
        tensor.parameters["shared_memory_offset"].int64_param = place.offset
    return made


def test_an_input_in_shared_memory_takes_no_entry_of_raw_input_contents() -> None:
    made = shared(Place("r", 8, 4))
    made.inputs.add(name="y", datatype="INT8", shape=[1])
    made.raw_input_contents.append(b"\5")
    asked: list[Place] = []

    def read(place: Place) -> bytes:
        asked.append(place)
        return np.array([3, 4], np.float32).tobytes()

    inputs = read_request(made, read).inputs
    assert asked == [Place("r", 8, 4)]
    assert [tensor.data.tolist() for tensor in inputs] == [[3, 4], [5]]


def test_shared_memory_has_its_refusals() -> None:
    def missing(place: Place) -> bytes:
        raise Missing("there is no region")

    with pytest.raises(Missing):
        read_request(shared(Place("r", 8)), missing)
    with pytest.raises(Invalid, match="no contents beside it"):
        read_request(shared(Place("r", 8), fp32_contents=[1, 2]), missing)
    with pytest.raises(Invalid, match="no contents beside it"):
        read_request(shared(Place("r", 8)))
    with pytest.raises(TooLarge):
        read_request(shared(Place("r", 8), Place("r", MOST_BYTES)), lambda place: bytes(place.byte_size))


def test_an_output_in_shared_memory_is_said_to_be_there() -> None:
    made = raw("FP32", (2,), bytes(8))
    made.outputs.add(name="y").parameters["shared_memory_region"].string_param = "r"
    made.outputs[0].parameters["shared_memory_byte_size"].int64_param = 64
    assert read_request(made).placed() == {"y": Place("r", 64)}
    response = InferResponse("m", (Tensor("y", "FP32", np.ones(2, np.float32)), Tensor("z", "FP32", np.ones(1, np.float32))))
    answer = write_response(response, placed={"y": Place("r", 8)})
    assert read_parameters(answer.outputs[0].parameters) == {"shared_memory_region": "r", "shared_memory_byte_size": 8}
    assert [len(body) for body in answer.raw_output_contents] == [0, 4]
