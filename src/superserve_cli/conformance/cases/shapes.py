"""Shapes and data that do not belong together, or that overflow who multiplies them carelessly."""

from collections.abc import Callable
from typing import Any, Final

from superserve_cli.conformance.case import Case
from superserve_cli.conformance.cases.inference import must_have_json
from superserve_cli.conformance.cases.refusals import refuses, still_serves
from superserve_cli.conformance.samples import nested
from superserve_cli.conformance.target import Target
from superserve_cli.conformance.verdict import NotOffered

GROUP: Final = "shapes"
SIZES: Final = "each dimension of a shape is an unsigned 64-bit integer"
CONTENTS: Final = "data holds the tensor's contents: as many elements as its shape, of its datatype"
INTEGERS: Final = frozenset(("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"))


def _shaped(*shape: object) -> Callable[[Target], Any]:
    return lambda target: target.with_first(shape=list(shape))


def _data(change: Callable[[list[Any]], Any]) -> Callable[[Target], Any]:
    def body(target: Target) -> Any:
        must_have_json(target)
        return target.with_first(data=change(list(target.samples()[0].values)))

    return body


def _among(datatypes: frozenset[str], change: Callable[[list[Any]], Any]) -> Callable[[Target], Any]:
    def body(target: Target) -> Any:
        if target.inputs[0]["datatype"] not in datatypes:
            raise NotOffered(f"the first input is {target.inputs[0]['datatype']}")
        return _data(change)(target)

    return body


def _flattened(target: Target) -> Any:
    """The right number of elements in another shape than the model's."""
    shape = target.samples()[0].shape
    return target.with_first(shape=[*shape, 1, 1])


def _ragged(target: Target) -> Any:
    tensor = target.samples()[0]
    if not tensor.values:
        raise NotOffered("the first input has no elements")
    lists = nested(tensor.values, tensor.shape)
    return target.with_first(data=[lists, [lists]])


def _deep(values: list[Any]) -> Any:
    """The values in more lists than any tensor has dimensions."""
    for _ in range(100):
        values = [values]
    return values


def _not_a_number(target: Target) -> bytes:
    must_have_json(target)
    tensor = target.samples()[0]
    text = f'{{"inputs":[{{"name":"{tensor.name}","shape":{list(tensor.shape)},"datatype":"{tensor.datatype}","data":[NaN,Infinity]}}]}}'
    return text.encode()


def _case(name: str, sentence: str, body: Callable[[Target], Any], required: bool = True) -> Case:
    return Case(name, GROUP, sentence, refuses(body), required)


CASES: Final = (
    _case("a negative size", SIZES, _shaped(2, -5)),
    _case("a variable size in a request", SIZES, _shaped(-1, 1)),
    _case("a size that is text", SIZES, _shaped("1", 1)),
    _case("a size that is a fraction", SIZES, _shaped(1.5, 1)),
    _case("a size that is true", SIZES, _shaped(True, True), required=False),
    _case("a size beyond 64 bits", SIZES, _shaped(2**70)),
    _case("sizes whose product overflows", SIZES, _shaped(2**4, 2**60 + 2)),
    _case("sizes whose bytes overflow", SIZES, _shaped(2**2, 2**60 + 2)),
    _case("sizes whose product is zero again", SIZES, _shaped(2**32, 2**32)),
    _case("a large tensor that is not there", SIZES, _shaped(2**40)),
    _case("a thousand dimensions", SIZES, _shaped(*[1] * 1000)),
    _case("a shape that is no list", SIZES, lambda target: target.with_first(shape=4)),
    _case("another shape than the model's", '"shape" is that of the input tensor', _flattened),
    _case("too few elements", CONTENTS, _data(lambda values: values[:-1])),
    _case("too many elements", CONTENTS, _data(lambda values: [*values, values[0]])),
    _case("no elements", CONTENTS, _data(lambda values: [])),
    _case("ragged lists", CONTENTS, _ragged),
    _case("lists within lists, a hundred deep", CONTENTS, _data(_deep)),
    _case("null among the elements", CONTENTS, _data(lambda values: [None, *values[1:]])),
    _case("an object among the elements", CONTENTS, _data(lambda values: [{}, *values[1:]])),
    _case("text among numbers", CONTENTS, _among(INTEGERS | {"FP32", "FP64"}, lambda values: ["one", *values[1:]])),
    _case("a number too large for its integer", CONTENTS, _among(INTEGERS, lambda values: [2**64, *values[1:]])),
    _case("a fraction among integers", CONTENTS, _among(INTEGERS, lambda values: [0.5, *values[1:]]), required=False),
    _case("a number among texts", CONTENTS, _among(frozenset(("BYTES",)), lambda values: [1, *values[1:]]), required=False),
    _case("NaN is not JSON", "the body is JSON, which knows no NaN", _not_a_number),
    Case("serves after bad shapes", GROUP, "a bad request harms no other", still_serves),
)
