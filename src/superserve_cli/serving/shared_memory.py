"""The system shared memory extension: regions under /dev/shm that clients register, to read inputs from and write outputs to.

A region is a file that its client can shrink or unlink whenever it likes, so nothing is mapped, where a page that is gone would kill the
server: bytes are read and written by position, and what is not there any more is an error of that request. The file stays open from
registration on, so that its name cannot come to mean another one.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from superserve_cli.serving.refusals import Failed, Invalid, Missing, TooLarge, Unsupported

ROOT: Final = Path("/dev/shm")
NO_CUDA: Final = "CUDA shared memory is not supported: send tensors as binary data, or through system shared memory"
KEY: Final = re.compile(r"/?([^/\0]{1,255})")
MOST_REGIONS: Final = 256
MOST_BYTES: Final = 64 * 1024 * 1024
"""What one request may read from regions, or write to them: as much as it might send."""


class Place(NamedTuple):
    """Some bytes of a region: where an input lies, or an output shall."""

    region: str
    byte_size: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Region:
    """A registered piece of an open file."""

    name: str
    key: str
    offset: int
    byte_size: int
    file: int

    def described(self) -> dict[str, Any]:
        """As the extension's status has it."""
        return {"name": self.name, "key": self.key, "offset": self.offset, "byte_size": self.byte_size}


class Regions:
    """The registered regions of a server, by name; `allowed` only where clients and server share a machine."""

    def __init__(self, allowed: bool = True, root: Path = ROOT) -> None:
        self.allowed = allowed
        self._root = root
        self._regions: dict[str, Region] = {}

    def status(self, name: str = "") -> list[dict[str, Any]]:
        """The region of a name, or all; raises Missing."""
        self._check_allowed()
        return [self._region(name).described()] if name else [region.described() for region in self._regions.values()]

    def register(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """Open a region; raises Invalid where there is none of that size, or the name is taken."""
        self._check_allowed()
        if name in self._regions:
            raise Invalid(f"shared memory region {name!r} is registered already: unregister it first")
        if len(self._regions) >= MOST_REGIONS:
            raise TooLarge(f"{MOST_REGIONS} shared memory regions are registered already: unregister some")
        if not name or offset < 0 or byte_size < 1:
            raise Invalid("a shared memory region needs a name, an offset of at least 0 and a byte_size of at least 1")
        file = _open(self._root, key)
        try:
            _check_size(file, f"shared memory {key!r}", offset + byte_size)
        except Invalid:
            os.close(file)
            raise
        self._regions[name] = Region(name, key, offset, byte_size, file)

    def unregister(self, name: str = "") -> None:
        """Let go of the region of a name, or of all; one that is not there is nothing to let go of."""
        self._check_allowed()
        for gone in [name] if name else list(self._regions):
            if (region := self._regions.pop(gone, None)) is not None:
                os.close(region.file)

    def read(self, place: Place) -> bytes:
        """The bytes at a place; raises Missing, and Invalid where the region does not hold them (any more)."""
        region = self._within(place)
        data = os.pread(region.file, place.byte_size, region.offset + place.offset)
        if len(data) != place.byte_size:
            raise Invalid(f"shared memory region {region.name!r} has shrunk since it was registered")
        return data

    def write(self, place: Place, data: bytes) -> Place:
        """Put an output where it was asked for, and where it lies then; raises Missing, and Invalid where it does not fit."""
        region = self._within(place)
        if len(data) > place.byte_size:
            raise Invalid(f"the output takes {len(data)} bytes, and its place in shared memory has {place.byte_size}")
        at = region.offset + place.offset
        _check_size(region.file, f"shared memory region {region.name!r}", at + len(data))
        _write(region, data, at)
        return place._replace(byte_size=len(data))

    def _region(self, name: str) -> Region:
        if (region := self._regions.get(name)) is None:
            raise Missing(f"there is no shared memory region {name!r}: register it first")
        return region

    def _within(self, place: Place) -> Region:
        self._check_allowed()
        region = self._region(place.region)
        if place.offset + place.byte_size > region.byte_size:
            raise Invalid(
                f"shared memory region {region.name!r} has {region.byte_size} bytes, not {place.byte_size} from {place.offset} on"
            )
        return region

    def _check_allowed(self) -> None:
        if not self.allowed:
            raise Unsupported("shared memory is for clients on the same machine: this server does not listen on a loopback address")


def place(parameters: Mapping[str, Any]) -> Place | None:
    """Where the parameters of a tensor say that it lies, None for in the message; raises Invalid."""
    if (region := parameters.get("shared_memory_region")) is None:
        return None
    size, offset = parameters.get("shared_memory_byte_size"), parameters.get("shared_memory_offset", 0)
    if not isinstance(region, str) or type(size) is not int or type(offset) is not int or size < 0 or offset < 0:
        raise Invalid("shared_memory_region must be a name, with shared_memory_byte_size and shared_memory_offset of at least 0")
    if size > MOST_BYTES:
        raise TooLarge(f"a tensor in shared memory may have at most {MOST_BYTES} bytes")
    return Place(region, size, offset)


def said(where: Place) -> dict[str, Any]:
    """A place as parameters of a tensor."""
    offset = {"shared_memory_offset": where.offset} if where.offset else {}
    return {"shared_memory_region": where.region, "shared_memory_byte_size": where.byte_size, **offset}


def _write(region: Region, data: bytes, at: int) -> None:
    """Fill a piece of a region, for which there may be no memory: its client can make it larger than there is."""
    try:
        written = os.pwrite(region.file, data, at)
    except OSError as error:
        raise Failed(f"cannot write to shared memory region {region.name!r}: {error.strerror}") from None
    if written < len(data):
        raise Failed(f"shared memory region {region.name!r} took {written} of {len(data)} bytes")


def _open(root: Path, key: str) -> int:
    match = KEY.fullmatch(key)
    if match is None or match[1] in (".", ".."):
        raise Invalid(f"{key!r} is no key of shared memory for clients: write one POSIX name, as in /my_inputs")
    try:
        file = os.open(root / match[1], os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        raise Invalid(f"cannot open shared memory {key!r}: {getattr(error, 'strerror', None) or 'it is no name'}") from None
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise Invalid(f"{key!r} is no shared memory")
    return file


def _check_size(file: int, what: str, needed: int) -> None:
    if (size := os.fstat(file).st_size) < needed:
        raise Invalid(f"{what} has {size} bytes, which is less than the {needed} asked for")
