import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from superserve_cli.serving.refusals import Failed, Invalid, Missing, TooLarge, Unsupported
from superserve_cli.serving.shared_memory import MOST_BYTES, MOST_REGIONS, Place, Regions, place, said


@pytest.fixture
def regions(tmp_path: Path) -> Iterator[Regions]:
    (tmp_path / "data").write_bytes(bytes(range(16)))
    made = Regions(root=tmp_path)
    yield made
    made.allowed = True
    made.unregister()


def test_a_region_is_a_window_on_a_file_that_both_sides_write(regions: Regions, tmp_path: Path) -> None:
    regions.register("in", "/data", 4, 8)
    assert regions.status() == regions.status("in") == [{"name": "in", "key": "/data", "offset": 4, "byte_size": 8}]
    assert regions.read(Place("in", 2, 1)) == bytes([5, 6])
    assert regions.write(Place("in", 4, 2), b"\xaa\xbb") == Place("in", 2, 2)
    assert (tmp_path / "data").read_bytes()[5:9] == b"\5\xaa\xbb\x08"
    regions.unregister("in")
    regions.unregister("in")
    assert regions.status() == []


def test_a_region_outlives_the_name_of_its_file(regions: Regions, tmp_path: Path) -> None:
    regions.register("in", "data", 0, 16)
    (tmp_path / "data").unlink()
    (tmp_path / "data").write_bytes(b"another file ...")
    assert regions.read(Place("in", 2)) == b"\0\1"


NO_KEYS = ["", "/", ".", "..", "/..", "../data", "/../data", "a/b", "//data", "x" * 256, "da\0ta", "\ud800"]


@pytest.mark.parametrize("key", [*NO_KEYS, "/none", "/link", "/dir"])
def test_a_key_is_one_name_of_shared_memory_and_none_of_the_servers_own(regions: Regions, tmp_path: Path, key: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "data")
    (tmp_path / "dir").mkdir()
    with pytest.raises(Invalid):
        regions.register("in", key, 0, 1)
    assert regions.status() == []


def test_what_is_no_file_cannot_block_the_server(regions: Regions, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Invalid, match="no shared memory"):
        regions.register("in", "pipe", 0, 1)


@pytest.mark.parametrize(("offset", "size"), [(0, 17), (16, 1), (1, 16), (-1, 4), (0, 0), (0, -1), (2**62, 2**62)])
def test_a_region_lies_within_its_file(regions: Regions, offset: int, size: int) -> None:
    with pytest.raises(Invalid):
        regions.register("in", "data", offset, size)


def test_a_tensor_lies_within_its_region(regions: Regions) -> None:
    regions.register("in", "data", 4, 8)
    for where in (Place("in", 9), Place("in", 4, 5), Place("in", 0, 9), Place("in", 1, 2**63)):
        with pytest.raises(Invalid, match="has 8 bytes"):
            regions.read(where)
    with pytest.raises(Invalid, match="takes 3 bytes"):
        regions.write(Place("in", 2), b"abc")
    with pytest.raises(Missing):
        regions.read(Place("out", 1))
    with pytest.raises(Missing):
        regions.status("out")


def test_a_file_that_has_shrunk_is_an_error_and_not_the_end_of_the_server(regions: Regions, tmp_path: Path) -> None:
    regions.register("in", "data", 4, 8)
    os.truncate(tmp_path / "data", 6)
    with pytest.raises(Invalid, match="shrunk"):
        regions.read(Place("in", 8))
    with pytest.raises(Invalid, match="6 bytes"):
        regions.write(Place("in", 8), bytes(8))
    assert (tmp_path / "data").stat().st_size == 6


def test_names_are_taken_once_and_regions_are_not_without_number(regions: Regions) -> None:
    for i in range(MOST_REGIONS):
        regions.register(f"r{i}", "data", 0, 1)
    with pytest.raises(Invalid, match="registered already"):
        regions.register("r0", "data", 0, 1)
    with pytest.raises(TooLarge):
        regions.register("more", "data", 0, 1)


def test_clients_from_elsewhere_share_no_memory(regions: Regions) -> None:
    regions.allowed = False
    for ask in (regions.status, regions.unregister, lambda: regions.register("in", "data", 0, 1), lambda: regions.read(Place("in", 1))):
        with pytest.raises(Unsupported, match="loopback"):
            ask()


@pytest.mark.parametrize(
    "parameters",
    [
        {"shared_memory_region": 3, "shared_memory_byte_size": 1},
        {"shared_memory_region": "r"},
        {"shared_memory_region": "r", "shared_memory_byte_size": True},
        {"shared_memory_region": "r", "shared_memory_byte_size": -1},
        {"shared_memory_region": "r", "shared_memory_byte_size": 1, "shared_memory_offset": -1},
        {"shared_memory_region": "r", "shared_memory_byte_size": 1, "shared_memory_offset": "0"},
    ],
    ids=str,
)
def test_a_place_that_makes_no_sense_is_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        place(parameters)


def test_a_place_is_said_as_it_was_asked_for() -> None:
    assert place({}) is None
    for where in (Place("r", 8), Place("r", 8, 4)):
        assert place(said(where)) == where
    with pytest.raises(TooLarge):
        place(said(Place("r", MOST_BYTES + 1)))


def test_an_output_for_which_there_is_no_memory_is_refused(regions: Regions, tmp_path: Path) -> None:
    os.truncate(tmp_path / "data", 2**30)  # as much as its client says, none of it there yet
    regions.register("out", "data", 2**29, 16)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**29 + 4, hard))
    try:
        with pytest.raises(Failed, match="4 of 8 bytes"):
            regions.write(Place("out", 8), b"12345678")
        with pytest.raises(Failed, match="File too large"):
            regions.write(Place("out", 8, 8), b"12345678")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
