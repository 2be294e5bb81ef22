from collections.abc import Sequence
from random import Random
from typing import Final

EDITS: Final = (1, 1, 1, 2, 4)
MOST_BYTES: Final = 16
TELLING: Final = (
    *(b"\0", b"\r\n", b"\r\n\r\n", b" ", b":", b",", b'"', b"{", b"}", b"[", b"]", b"-1", b"0", b"99999999999999999999", b"1e999", b"NaN"),
    *(b"null", b"\xff\xfe", b"\xed\xa0\x80", b"%00", b"../", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"ffffffff\r\n"),
    *(b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n", b"Content-Encoding: gzip\r\n", b"Inference-Header-Content-Length: 7\r\n"),
)
"""Words that parsers have stumbled over."""


def mutated(random: Random, seed: bytes, others: Sequence[bytes]) -> bytes:
    """Some bytes with a few of them changed, removed, repeated, moved, cut off or taken from others."""
    data = bytearray(seed)
    for _ in range(random.choice(EDITS)):
        _edit(random, data, others)
    return bytes(data)


def _edit(random: Random, data: bytearray, others: Sequence[bytes]) -> None:
    at, length = random.randint(0, len(data)), random.randint(1, MOST_BYTES)
    kind = random.randrange(9)
    if kind <= 1 and data:
        data[min(at, len(data) - 1)] ^= 1 << random.randrange(8)
    elif kind <= 2:
        data[at : at + length] = random.randbytes(len(data[at : at + length]))
    elif kind == 3:
        del data[at : at + length]
    elif kind == 4:
        data[at:at] = data[at : at + length] * random.randint(1, 3)
    elif kind == 5:
        data[at:at] = random.choice(TELLING)
    elif kind == 6:
        data[at : at + length] = random.choice(TELLING)
    elif kind == 7:
        del data[at:]
    else:
        other = random.choice(others)
        start = random.randint(0, len(other))
        data[at:] = other[start:]
