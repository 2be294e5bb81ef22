import re
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from google.protobuf.descriptor_pool import Default

from superserve_cli.serving.rpc import declared, messages

FIELD = re.compile(r"^\s*(?:repeated )?(?:map<[^>]+>|[\w.]+) (\w+) = (\d+);", re.MULTILINE)
VALUE = re.compile(r"^\s*([A-Z]\w+) = (\d+);", re.MULTILINE)


def source(name: str) -> str:
    return files(messages.__package__).joinpath(f"{name}.proto").read_text(encoding="utf-8")


def every_message(scope: Any) -> Iterator[Any]:
    nested = scope.message_types_by_name if hasattr(scope, "message_types_by_name") else scope.nested_types_by_name
    for message in nested.values():
        yield message
        yield from every_message(message)


@pytest.mark.parametrize("name", ["open_inference", "health", "reflection"])
def test_the_shipped_descriptors_are_those_of_the_source(name: str) -> None:
    file = declared.pool(name).FindFileByName(f"{name}.proto")
    every = list(every_message(file))
    fields = Counter((f.name, f.number) for m in every if not m.GetOptions().map_entry for f in m.fields)
    enums = [*file.enum_types_by_name.values(), *(e for m in every for e in m.enum_types)]
    values = Counter((value.name, value.number) for enum in enums for value in enum.values)
    assert Counter((found, int(n)) for found, n in FIELD.findall(source(name))) == fields
    assert Counter((found, int(n)) for found, n in VALUE.findall(source(name))) == values


def test_every_call_of_the_protocol_has_its_path_and_its_messages() -> None:
    infer = messages.METHODS["ModelInfer"]
    assert infer.path == "/inference.GRPCInferenceService/ModelInfer"
    assert (infer.request, infer.response) == (messages.ModelInferRequest, messages.ModelInferResponse)
    assert not infer.request_streams
    assert not infer.response_streams
    assert [name for name, method in messages.METHODS.items() if method.request_streams] == ["ModelStreamInfer"]
    assert len(messages.METHODS) == 20


def test_other_packages_may_define_the_same_names_in_the_same_process() -> None:
    with pytest.raises(KeyError):
        Default().FindMessageTypeByName("inference.ModelInferRequest")


def test_what_is_written_can_be_read_by_the_published_numbers() -> None:
    request = messages.ModelInferRequest(model_name="m", raw_input_contents=[b"\1\2"])
    request.parameters["slo_us"].int64_param = 5
    assert request.SerializeToString() == b"\x0a\x01m" + b"\x22\x0c\x0a\x06slo_us\x12\x02\x10\x05" + b"\x3a\x02\1\2"
