import gzip
import tracemalloc
import zlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.serving.encodings import chosen, deflated, inflated
from superserve_cli.serving.refusals import Invalid, TooLarge

CODINGS = st.sampled_from(["gzip", "deflate"])


@given(st.binary(max_size=2000), CODINGS)
def test_what_was_compressed_comes_back_up_to_the_limit_and_not_beyond(data: bytes, coding: str) -> None:
    assert inflated(deflated(data, coding), coding, len(data)) == data
    if data:
        with pytest.raises(TooLarge):
            inflated(deflated(data, coding), coding, len(data) - 1)


def test_the_codings_are_those_of_the_standard_library() -> None:
    assert inflated(gzip.compress(b"abc"), "gzip", 9) == inflated(zlib.compress(b"abc"), "deflate", 9) == b"abc"
    assert gzip.decompress(deflated(b"abc", "gzip")) == zlib.decompress(deflated(b"abc", "deflate")) == b"abc"


def test_a_bomb_is_refused_without_ever_being_inflated() -> None:
    bomb = gzip.compress(bytes(200_000_000), compresslevel=9)
    tracemalloc.start()
    with pytest.raises(TooLarge, match="larger than 100000 bytes"):
        inflated(bomb, "gzip", 100_000)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_body_that_is_cut_followed_by_more_or_none_at_all_is_refused(coding: str) -> None:
    whole = deflated(b"abc" * 100, coding)
    for broken in (b"", b"nonsense", whole[:-1], whole[: len(whole) // 2], whole + b"x", whole + whole):
        with pytest.raises(Invalid):
            inflated(broken, coding, 1000)


@given(st.binary(max_size=100), CODINGS)
def test_arbitrary_bytes_are_inflated_or_refused_and_nothing_else(body: bytes, coding: str) -> None:
    with suppress(Invalid, TooLarge):
        assert len(inflated(body, coding, 50)) <= 50


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("gzip, deflate", "gzip"),
        ("deflate, gzip;q=0.5", "deflate"),
        ("gzip;q=0", ""),
        ("GZIP; q=0.1, br", "gzip"),
        ("br, identity, *", ""),
        ("gzip;q=much", ""),
        ("", ""),
        (",;=,;", ""),
    ],
)
def test_an_answer_is_compressed_as_the_client_likes_best(accepted: str, coding: str) -> None:
    assert chosen(accepted) == coding
