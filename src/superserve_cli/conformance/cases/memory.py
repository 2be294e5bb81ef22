"""The system shared memory extension; only between processes of one machine."""

import ipaddress
import os
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.shared_memory import SharedMemory
from typing import Any, Final

from superserve_cli.conformance import expect
from superserve_cli.conformance.case import Case, Check
from superserve_cli.conformance.client import Client
from superserve_cli.conformance.samples import Sample, unpacked
from superserve_cli.conformance.target import Target
from superserve_cli.conformance.verdict import NotOffered

GROUP: Final = "memory"
EXTENSION: Final = "system_shared_memory"
ROOT: Final = "/v2/systemsharedmemory"
ROOM: Final = 1 << 20
"""Bytes for outputs, whose size nobody tells."""


def _only_here(client: Client) -> None:
    host = client.place.host
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    if not here:
        raise NotOffered("the server may be on another machine")


@contextmanager
def region(client: Client, size: int) -> Iterator[tuple[str, str, memoryview]]:
    """A region that is registered meanwhile: its name, the key of its memory, and the memory."""
    _only_here(client)
    memory = SharedMemory(create=True, size=size)
    name = f"conformance-{os.getpid()}"
    try:
        expect.ok(_register(client, name, memory.name, byte_size=size))
        try:
            assert memory.buf is not None  # as long as it is open
            yield name, memory.name, memory.buf
        finally:
            client.post(f"{ROOT}/region/{name}/unregister")
    finally:
        memory.close()
        memory.unlink()


def _register(client: Client, name: str, key: str, **fields: Any) -> Any:
    return client.post(f"{ROOT}/region/{name}/register", {"key": f"/{key}", "offset": 0, **fields})


def _shared(name: str, size: int, offset: int = 0) -> dict[str, Any]:
    return {"shared_memory_region": name, "shared_memory_offset": offset, "shared_memory_byte_size": size}


def status(client: Client, target: Target) -> None:
    """What is registered is listed, and what is not is not."""
    with region(client, 64) as (name, key, _):
        said = expect.listing(client.get(f"{ROOT}/region/{name}/status"))
        expected = {"name": name, "key": f"/{key}", "offset": 0, "byte_size": 64}
        expect.that(said == [expected], str([expected]), said)
        expect.that(expected in expect.listing(client.get(f"{ROOT}/status")), f"{name} among all regions", "others")
    names = [entry.get("name") for entry in expect.listing(client.get(f"{ROOT}/status"))]
    expect.that(name not in names, f"{name} unregistered", names)


def through_memory(client: Client, target: Target) -> None:
    """Inputs from a region, outputs into it."""
    tensors = target.samples()
    start = sum(len(tensor.raw()) for tensor in tensors)
    with region(client, start + ROOM * len(target.outputs)) as (name, _, memory):
        memory[:start] = b"".join(tensor.raw() for tensor in tensors)
        outputs = [{"name": told["name"], "parameters": _shared(name, ROOM, start + i * ROOM)} for i, told in enumerate(target.outputs)]
        said = expect.inference(client.post(target.infer, {"inputs": _from(name, tensors), "outputs": outputs}))
        for i, output in enumerate(said["outputs"]):
            expect.that("data" not in output, f"{output.get('name')} without data in the JSON", output)
            size = output.get("parameters", {}).get("shared_memory_byte_size", 0)
            at = start + i * ROOM
            expect.that(0 < size <= ROOM, '"shared_memory_byte_size" of the output', output)
            unpacked(output["datatype"], bytes(memory[at : at + size]))


def _from(name: str, tensors: tuple[Sample, ...]) -> list[dict[str, Any]]:
    items, at = [], 0
    for tensor in tensors:
        item = tensor.as_binary(parameters=_shared(name, len(tensor.raw()), at))
        items.append(item)
        at += len(tensor.raw())
    return items


def _infers_badly(size: int, offset: int, **more: Any) -> Check:
    """A case: an input within a region of 64 bytes that does not lie there."""

    def check(client: Client, target: Target) -> None:
        with region(client, 64) as (name, *_):
            bad = target.samples()[0].as_binary(parameters=_shared(name, size, offset), **more)
            others = [tensor.as_json() for tensor in target.samples()[1:]]
            expect.refused(client.post(target.infer, {"inputs": [bad, *others]}))

    return check


def unknown_region(client: Client, target: Target) -> None:
    """A region that nobody registered."""
    bad = target.samples()[0].as_binary(parameters=_shared("no-such-region", 4))
    expect.refused(client.post(target.infer, {"inputs": [bad, *(tensor.as_json() for tensor in target.samples()[1:])]}))


def unknown_key(client: Client, target: Target) -> None:
    """Memory that does not exist."""
    _only_here(client)
    expect.refused(_register(client, "conformance", "no-such-memory", byte_size=64))


def path_as_key(client: Client, target: Target) -> None:
    """A key that would lead out of the place where shared memory is."""
    _only_here(client)
    expect.refused(_register(client, "conformance", "../../etc/hostname", byte_size=1))


def twice(client: Client, target: Target) -> None:
    """A name that is taken."""
    with region(client, 64) as (name, key, _):
        expect.refused(_register(client, name, key, byte_size=64))


def beyond(client: Client, target: Target) -> None:
    """More than the memory holds."""
    with region(client, 64) as (name, key, _):
        expect.refused(_register(client, f"{name}-beyond", key, byte_size=1 << 40))


def no_size(client: Client, target: Target) -> None:
    """A field is missing."""
    _only_here(client)
    expect.refused(client.post(f"{ROOT}/region/conformance/register", {"key": "/x"}))


def _case(name: str, sentence: str, check: Check, required: bool = True) -> Case:
    return Case(name, GROUP, sentence, check, required, EXTENSION)


REFERENCE: Final = "a tensor lies at an offset of a registered region, with a size"
REGISTER: Final = 'a failed register request has an error status and the body {"error": $string}'
CASES: Final = (
    _case("register, status, unregister", "status lists name, key, offset and byte_size of registered regions", status),
    _case("tensors through memory", "inputs and outputs may be communicated by shared memory", through_memory),
    _case("an unknown region", REFERENCE, unknown_region),
    _case("a tensor beyond its region", REFERENCE, _infers_badly(1 << 30, 0)),
    _case("an offset beyond the region", REFERENCE, _infers_badly(64, 1 << 40)),
    _case("a negative offset", REFERENCE, _infers_badly(64, -64)),
    _case("data beside the region", "when a tensor is in shared memory its data field must not be set", _infers_badly(64, 0, data=[1])),
    _case("memory that does not exist", REGISTER, unknown_key),
    _case("a key that is a path", REGISTER, path_as_key),
    _case("a name that is taken", REGISTER, twice),
    _case("more than the memory holds", REGISTER, beyond, required=False),
    _case("a registration without size", REGISTER, no_size),
)
