"""Bodies compressed as HTTP says. The inference protocol demands none of it; clients offer it."""

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Final

from superserve_cli.conformance import expect
from superserve_cli.conformance.case import Case, Check
from superserve_cli.conformance.cases.inference import must_have_json
from superserve_cli.conformance.client import Answer, Client
from superserve_cli.conformance.target import Target
from superserve_cli.conformance.verdict import NotOffered, Unmet

GROUP: Final = "compression"
CONTENT: Final = "Content-Encoding names how the body is compressed (RFC 9110, 8.4)"
ACCEPT: Final = "Accept-Encoding names what the client can read (RFC 9110, 12.5.3)"
UNPACK: Final[dict[str, Callable[[bytes], bytes]]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}
PACK: Final[dict[str, Callable[[bytes], bytes]]] = {"gzip": gzip.compress, "deflate": zlib.compress}


def _request(encoding: str) -> Check:
    def check(client: Client, target: Target) -> None:
        must_have_json(target)
        packed = PACK[encoding](json.dumps(target.request()).encode())
        answer = client.post(target.infer, packed, {"Content-Encoding": encoding})
        if answer.status == 415:
            raise NotOffered(f"the server reads no {encoding}")
        expect.outputs(answer)

    return check


def _answer(encoding: str) -> Check:
    def check(client: Client, target: Target) -> None:
        must_have_json(target)
        answer = client.post(target.infer, target.request(), {"Accept-Encoding": encoding})
        if "content-encoding" not in expect.ok(answer).headers:
            raise NotOffered(f"the server writes no {encoding}")
        expect.that(answer.headers["content-encoding"] == encoding, f"Content-Encoding: {encoding}", answer.headers["content-encoding"])
        expect.outputs(Answer(200, answer.headers, _unpacked(encoding, answer.body)))

    return check


def _unpacked(encoding: str, body: bytes) -> bytes:
    try:
        return UNPACK[encoding](body)
    except (OSError, EOFError, zlib.error) as error:
        raise Unmet(f"a body that is {encoding}", str(error)) from None


def garbled(client: Client, target: Target) -> None:
    """A body that is not what its header says."""
    expect.refused(client.post(target.infer, target.request(), {"Content-Encoding": "gzip"}))


def cut(client: Client, target: Target) -> None:
    """A compressed body that ends early."""
    packed = gzip.compress(json.dumps(target.request()).encode())
    expect.refused(client.post(target.infer, packed[: len(packed) // 2], {"Content-Encoding": "gzip"}))


def unknown(client: Client, target: Target) -> None:
    """An encoding that nobody has."""
    expect.refused(client.post(target.infer, target.request(), {"Content-Encoding": "no-such-coding"}), 415, 400)


CASES: Final = (
    Case("a request in gzip", GROUP, CONTENT, _request("gzip"), required=False),
    Case("a request in deflate", GROUP, CONTENT, _request("deflate"), required=False),
    Case("an answer in gzip", GROUP, ACCEPT, _answer("gzip"), required=False),
    Case("an answer in deflate", GROUP, ACCEPT, _answer("deflate"), required=False),
    Case("gzip that is none", GROUP, CONTENT, garbled, required=False),
    Case("gzip that ends early", GROUP, CONTENT, cut, required=False),
    Case("an unknown encoding", GROUP, "an encoding that is not acceptable is a 415 (RFC 9110, 15.5.16)", unknown, required=False),
)
