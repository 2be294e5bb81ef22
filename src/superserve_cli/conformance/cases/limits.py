"""HTTP itself, rightly and wrongly used. Servers may close a connection on what is no HTTP; they must go on serving others."""

import json
from typing import Final

from superserve_cli.conformance import expect
from superserve_cli.conformance.case import Case, Check
from superserve_cli.conformance.cases.inference import must_have_json
from superserve_cli.conformance.cases.refusals import still_serves
from superserve_cli.conformance.client import Client
from superserve_cli.conformance.target import Target

GROUP: Final = "limits"
FRAMING: Final = "a message that is not HTTP/1.1 is answered with 400, and the connection closed (RFC 9112, 2.2 and 6.3)"


def _asked(client: Client, target: Target, *lines: str) -> bytes:
    body = json.dumps(target.request()).encode()
    return client.head("POST", target.infer, "Content-Type: application/json", f"Content-Length: {len(body)}", *lines) + body


def keeps_alive(client: Client, target: Target) -> None:
    """Two requests, one after the other, on one connection; sent at once, so that neither waits for the other."""
    must_have_json(target)
    answers = client.raw(_asked(client, target) + _asked(client, target, "Connection: close"), answers=2)
    expect.that([answer.status for answer in answers] == [200, 200], "two answers", [str(answer) for answer in answers])


def closes(client: Client, target: Target) -> None:
    """The connection closes when the client wants it."""
    must_have_json(target)
    answers = client.raw(_asked(client, target, "Connection: close"), answers=2)
    expect.that([answer.status for answer in answers] == [200], "one answer, and a closed connection", [str(answer) for answer in answers])


def chunks(client: Client, target: Target) -> None:
    """A body in chunks, the JSON cut anywhere."""
    must_have_json(target)
    body = json.dumps(target.request()).encode()
    pieces = (body[i : i + 100] for i in range(0, len(body), 100))
    sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    lines = ("Content-Type: application/json", "Transfer-Encoding: chunked", "Connection: close")
    answers = client.raw(client.head("POST", target.infer, *lines) + sent)
    expect.that(len(answers) == 1, "an answer", "a closed connection")
    expect.outputs(answers[0])


def continues(client: Client, target: Target) -> None:
    """A client that would wait before it sends its body."""
    must_have_json(target)
    answers = client.raw(_asked(client, target, "Expect: 100-continue", "Connection: close"))
    expect.that([answer.status for answer in answers] == [200], "status 200", [str(answer) for answer in answers])


def query(client: Client, target: Target) -> None:
    """Clients may add a query, which says nothing to the protocol."""
    expect.ok(client.get("/v2/health/live?verbose=1"))


def old_version(client: Client, target: Target) -> None:
    """A probe that speaks HTTP/1.0: one answer, and the connection closes."""
    answers = client.raw(client.head("GET", "/v2/health/live").replace(b"HTTP/1.1", b"HTTP/1.0", 1), answers=2)
    expect.that([answer.status for answer in answers] == [200], "one answer, and a closed connection", [str(answer) for answer in answers])


def _malformed(data: bytes) -> Check:
    def check(client: Client, target: Target) -> None:
        expect.refused_or_closed(client.raw(data))

    return check


def _headed(*lines: str, body: bytes = b"{}") -> Check:
    def check(client: Client, target: Target) -> None:
        expect.refused_or_closed(client.raw(client.head("POST", target.infer, *lines) + body))

    return check


def huge(client: Client, target: Target) -> None:
    """A body that no server would hold, announced: refused before it comes."""
    answers = client.raw(client.head("POST", target.infer, "Content-Type: application/json", f"Content-Length: {10**13}"))
    expect.that(bool(answers) and answers[0].status in (413, 400), "status 413", answers[0] if answers else "a closed connection")


def long_head(client: Client, target: Target) -> None:
    """A head that goes on and on."""
    lines = [f"X-Header-{i}: {'a' * 1000}" for i in range(1000)]
    answers = client.raw(client.head("GET", "/v2/health/live", *lines))
    expect.refused_or_closed(answers)


def long_path(client: Client, target: Target) -> None:
    """A path that goes on and on."""
    expect.refused_or_closed(client.raw(client.head("GET", f"/v2/models/{'a' * 1_000_000}")))


def _case(name: str, sentence: str, check: Check, required: bool = False) -> Case:
    return Case(name, GROUP, sentence, check, required)


CASES: Final = (
    _case("two requests on one connection", "connections persist (RFC 9112, 9.3)", keeps_alive, required=True),
    _case("close when asked", "Connection: close ends the connection after the answer (RFC 9112, 9.6)", closes, required=True),
    _case("a body in chunks", "a recipient must be able to parse the chunked transfer coding (RFC 9112, 7.1)", chunks, required=True),
    _case("expect: 100-continue", "a server answers 100 or the final status (RFC 9110, 10.1.1)", continues),
    _case("a query behind the path", "a query is part of the target, not of the path (RFC 9110, 4.1)", query),
    _case("HTTP/1.0", "a connection does not persist after HTTP/1.0 (RFC 9112, 9.3)", old_version),
    _case("garbage", FRAMING, _malformed(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")),
    _case("no version of HTTP", FRAMING, _malformed(b"GET /v2 HTTP/9.9\r\nHost: x\r\n\r\n")),
    _case("a length that is text", FRAMING, _headed("Content-Length: many")),
    _case("a negative length", FRAMING, _headed("Content-Length: -2")),
    _case("two lengths", FRAMING, _headed("Content-Length: 2", "Content-Length: 3", body=b"{}}")),
    _case("a length and chunks", FRAMING, _headed("Content-Length: 2", "Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    _case("a chunk size that is text", FRAMING, _headed("Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n0\r\n\r\n")),
    _case("a huge body announced", "a body larger than the server is willing to process is a 413 (RFC 9110, 15.5.14)", huge),
    _case("a head of a megabyte", "a server may refuse with 431 (RFC 6585, 5)", long_head),
    _case("a path of a megabyte", "a server may refuse with 414 (RFC 9110, 15.5.15)", long_path),
    _case("serves after all that", "what one client does harms no other", still_serves, required=True),
)
