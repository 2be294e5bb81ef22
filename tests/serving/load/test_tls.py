"""The load generator behind certificates."""

import shutil
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superserve_cli.errors import BadOption, Unreachable
from superserve_cli.serving.load import Access, describe, replay
from superserve_cli.traces.trace import Trace
from tests.serving.load.servers import certificate, speaking_grpc

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl to make a certificate")
TRACE = Trace(np.arange(30, dtype=np.int64) * 1_000_000)
SLO_NS = 5_000_000_000
PAGES: dict[str, bytes] = {
    "/v2/health/ready": b'{"ready": true}',
    "/v2": b'{"name": "other", "version": "1", "extensions": ["binary_tensor_data"]}',
    "/v2/models/m": b'{"name": "m", "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 40000]}], "outputs": []}',
}
ANSWER = b'{"model_name": "m", "outputs": []' + b" " * 100_000 + b"}"


class Pages(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:  # http.server's name
        self._say(PAGES[self.path])

    def do_POST(self) -> None:  # http.server's name
        self.rfile.read(int(self.headers["Content-Length"]))
        self._say(ANSWER.replace(b"[]", b"[{}]"))

    def _say(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def speaking_https(pem: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}/v2/models/m"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.parametrize("speaking", [speaking_https, lambda pem: speaking_grpc(pem=pem)])
def test_a_server_is_believed_when_its_authority_is_or_when_anybody_is(speaking: Any, pem: Path) -> None:
    with speaking(pem) as url:
        for access in (Access(ca=pem), Access(insecure=True)):
            run = replay(url, TRACE, SLO_NS, access=access)
            assert (run.outcomes.status == 0).all()
        with pytest.raises(Unreachable, match=r"certificate of .* is not to be trusted") as refused:
            describe(url)
    assert "--ca" in refused.value.hint


def test_certificates_without_tls_and_both_kinds_of_trust_are_refused(pem: Path) -> None:
    with pytest.raises(BadOption, match="does not speak TLS"):
        describe("http://127.0.0.1:1", access=Access(ca=pem))
    with pytest.raises(BadOption, match="contradict"):
        Access(ca=pem, insecure=True)
    with pytest.raises(BadOption, match="cannot be read as certificates"):
        describe("https://127.0.0.1:1", access=Access(ca=pem.parent / "none.pem"))
