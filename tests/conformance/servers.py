"""Small servers of the protocol for the table to find faults in: one model, `sum`, whose output is the sum of each row."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from superserve_cli.conformance import Client, Report, find, place, run

MODEL = {
    "name": "sum",
    "platform": "test",
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}],
}
SAID = {
    "/v2": {"name": "small", "version": "1", "extensions": []},
    "/v2/health/live": {"live": True},
    "/v2/health/ready": {"ready": True},
    "/v2/models": {"models": ["sum"]},
    "/v2/models/sum": MODEL,
    "/v2/models/sum/ready": {"name": "sum", "ready": True},
}


class Handler(BaseHTTPRequestHandler):
    """JSON alone, and strict about it, but for its `faults`."""

    protocol_version = "HTTP/1.1"
    faults: frozenset[str] = frozenset()

    def do_GET(self) -> None:
        path = self.path.rstrip("/")
        if path in SAID:
            self._send(200, SAID[path])
        else:
            self._refuse(404, f"nothing at {path}")

    def do_POST(self) -> None:
        body = self._body()
        if self.path != "/v2/models/sum/infer":
            self._refuse(404, f"nothing at {self.path}")
            return
        try:
            self._send(200, self._answer(json.loads(body, parse_constant=_no)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self._refuse(500 if "crashes" in self.faults else 400, str(error))

    def log_message(self, *_: object) -> None:
        pass

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        (tensor,) = asked["inputs"]
        shape, data = tensor["shape"], _flat(tensor["data"])
        if (tensor["name"], tensor["datatype"]) != ("x", "FP32") or not isinstance(tensor["data"], list):
            raise ValueError("the input is x of FP32")
        if _depth(tensor["data"]) > 2:
            raise ValueError("data has more dimensions than the shape")
        if len(shape) != 2 or any(type(n) is not int for n in shape) or shape[1] != 2 or len(data) != 2 * shape[0] or not data:
            raise ValueError("data must fill a shape of [rows, 2]")
        if any(type(value) not in (int, float) for value in data) or not isinstance(asked.get("parameters", {}), dict):
            raise ValueError("these are no numbers")
        if any(wanted["name"] != "y" for wanted in asked.get("outputs", [])):
            raise ValueError("the output is y")
        if not isinstance(asked.get("id", ""), str):
            raise ValueError("id is a string")
        id = {} if "forgets" in self.faults else {"id": asked.get("id", "")}
        sums = [data[i] + data[i + 1] for i in range(0, len(data), 2)]
        return {"model_name": "sum", **id, "outputs": [{"name": "y", "datatype": "FP32", "shape": [shape[0], 1], "data": sums}]}

    def _refuse(self, status: int, message: str) -> None:
        self._send(status, {"detail" if "details" in self.faults else "error": message})

    def _send(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _depth(data: Any) -> int:
    return 1 + max(map(_depth, data), default=0) if isinstance(data, list) else 0


def _no(text: str) -> None:
    raise ValueError(f"{text} is no JSON")


def _flat(data: Any) -> list[Any]:
    return [value for item in data for value in _flat(item)] if isinstance(data, list) else [data]


@contextmanager
def serving(*faults: str, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """The URL of a server with some faults."""
    handler = type("Faulty", (Handler,), {"faults": frozenset(faults)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http{'s' * (tls is not None)}://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def checked(*faults: str) -> Report:
    """What the table says of such a server."""
    with serving(*faults) as url:
        client = Client(place(url))
        return run(client, find(client, None), None, False, lambda *_: None)


def results(report: Report, group: str) -> dict[str, str]:
    """Case to result within a group."""
    return {row.case.name: row.verdict.result for row in report.rows if row.case.group == group}
