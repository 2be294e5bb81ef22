"""A remembered text says what reading it would say, whatever its numbers are and wherever they stand."""

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from superserve_cli.serving import protocol
from superserve_cli.serving.protocol import InferRequest, read_request
from superserve_cli.serving.refusals import Invalid

NUMBERS = np.arange(6, dtype=np.float32).tobytes()
TENSOR = {"name": "input", "shape": [2, 3], "datatype": "FP32", "parameters": {"binary_data_size": len(NUMBERS)}}
IDS = st.sampled_from(["", "1", "23", "a-b", 'say "id":"7"', '"timeout":5,', "é", "\\"])
TIMES = st.sampled_from([0, 1, 17, 123_456, -4, 1.5, "12", '"timeout":9', None])


def read_both(text: bytes, raw: bytes = NUMBERS) -> tuple[Any, Any]:
    """What is read with what is remembered, and without."""

    def outcome(reading: Any) -> Any:
        try:
            request: InferRequest = reading(text + raw, len(text))
        except Invalid as error:
            return str(error)
        return request._replace(inputs=()), [(name, datatype, data.tolist()) for name, datatype, data in request.inputs]

    return outcome(read_request), outcome(lambda body, length: protocol._read_request(body, length, None))


@st.composite
def texts(draw: st.DrawFn) -> bytes:
    fields: list[tuple[str, Any]] = [("inputs", [{**TENSOR, **draw(st.sampled_from([{}, {"id": "5"}, {"timeout": 3}]))}])]
    if draw(st.booleans()):
        fields.append(("id", draw(IDS)))
    parameters = {name: draw(TIMES) for name in draw(st.sets(st.sampled_from(["timeout", "id", "note"])))}
    fields.append(("parameters", parameters))
    if draw(st.booleans()):
        fields.append(("outputs", [{"name": draw(IDS), "parameters": {"timeout": draw(TIMES), "id": draw(IDS)}}]))
    text = orjson.dumps(dict(draw(st.permutations(fields))))
    if draw(st.booleans()):
        text = text.replace(b'"timeout":', b'"timeout": ').replace(b",", b" ,")
    if draw(st.booleans()):
        text = text.replace(b"}", b',"id":"99"}', 1) if draw(st.booleans()) else text.replace(b'"timeout":1', b'"timeout":01')
    return text


@settings(max_examples=400, deadline=None)
@given(st.lists(texts(), min_size=1, max_size=6))
def test_a_text_says_the_same_whether_or_not_one_like_it_is_remembered(said: list[bytes]) -> None:
    for text in said:
        remembered, anew = read_both(text)
        assert remembered == anew


@pytest.mark.parametrize(
    "pair",
    [
        (b'{"id":"5","x":{"id":""}', b'{"id":"","x":{"id":"5"}'),
        (b'{"parameters":{"timeout":1},"parameters":{"timeout":2}', b'{"parameters":{"timeout":3},"parameters":{"timeout":2}'),
        (b'{"parameters":{"timeout":1}', b'{"parameters":{"timeout":}'),
        (b'{"parameters":{"note":"\\"timeout\\":1,"}', b'{"parameters":{"note":"\\"timeout\\":2,"}'),
    ],
)
def test_texts_that_only_look_alike_are_told_apart(pair: tuple[bytes, bytes]) -> None:
    for text in (*pair, *pair):
        remembered, anew = read_both(text + b',"inputs":[' + orjson.dumps(TENSOR) + b"]}")
        assert remembered == anew


def test_a_remembered_text_with_more_or_fewer_bytes_behind_it_is_refused() -> None:
    text = orjson.dumps({"inputs": [TENSOR]})
    for raw in (NUMBERS, NUMBERS + b"x", NUMBERS[:-1], b""):
        remembered, anew = read_both(text, raw)
        assert remembered == anew


def test_what_may_be_wrong_in_its_bytes_is_looked_at_every_time() -> None:
    text = orjson.dumps({"inputs": [{"name": "b", "shape": [2], "datatype": "BOOL", "parameters": {"binary_data_size": 2}}]})
    for raw in (b"\0\1", b"\0\2"):
        remembered, anew = read_both(text, raw)
        assert remembered == anew
