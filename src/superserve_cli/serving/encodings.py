"""Compressed bodies: Content-Encoding of requests and Accept-Encoding of answers, gzip and deflate. Pure; knows no HTTP.

Both are done where the message is read or written, beside its JSON: what inflating may cost is bounded by the same limit on a body,
and a body that is as long takes longer as JSON.
"""

import zlib
from typing import Final

from superserve_cli.serving.refusals import Invalid, TooLarge

WINDOW_BITS: Final = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""What zlib calls each coding; `deflate` is the zlib format (RFC 9110, 8.4.1.2)."""
LEVEL: Final = 1
ANSWER_BITS: Final = {"gzip": 16 + 13, "deflate": 13}
ANSWER_MEMORY: Final = 4
"""A window of 8 KB: merely setting up the largest one takes longer than compressing a usual answer."""
LEAST_BYTES: Final = 256
"""Shorter answers are sent as they are: compressing them saves no packet."""
MOST_CODINGS: Final = 16


def inflated(body: bytes | memoryview, coding: str, most_bytes: int) -> bytes:
    """The bytes that a compressed body holds, of which no more than `most_bytes` are ever made; raises Invalid and TooLarge."""
    inflater = zlib.decompressobj(WINDOW_BITS[coding])
    try:
        # one more than allowed, so that the end of a body that just fits is seen
        data = inflater.decompress(body, most_bytes + 1)
    except zlib.error as error:
        raise Invalid(f"the body is not {coding}: {error}") from None
    if len(data) > most_bytes:
        raise TooLarge(f"the request's body is larger than {most_bytes} bytes once inflated")
    if not inflater.eof:
        raise Invalid(f"the {coding} body ends too early")
    if inflater.unused_data:
        raise Invalid(f"{len(inflater.unused_data)} bytes follow the {coding} body")
    return data


def deflated(body: bytes, coding: str) -> bytes:
    """A body, compressed fast rather than well."""
    deflater = zlib.compressobj(LEVEL, zlib.DEFLATED, ANSWER_BITS[coding], ANSWER_MEMORY)
    return deflater.compress(body) + deflater.flush()


def chosen(accepted: str) -> str:
    """The coding that an Accept-Encoding likes best, empty for none that is known."""
    likings = [_liking(item) for item in accepted.split(",")[:MOST_CODINGS]]
    best, coding = max([(liking, coding) for coding, liking in likings if coding in WINDOW_BITS], default=(0.0, ""))
    return coding if best > 0 else ""


def _liking(item: str) -> tuple[str, float]:
    coding, _, parameter = item.partition(";")
    name, _, value = parameter.partition("=")
    if name.strip().lower() != "q":
        return coding.strip().lower(), 1.0
    try:
        return coding.strip().lower(), float(value)
    except ValueError:
        return coding.strip().lower(), 0.0
