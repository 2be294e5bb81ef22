"""The command as users start it: a real process on the shipped SuperNet, real HTTP."""

import http.client
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import torch
import trustme

from superserve_cli import profiles, supernet
from superserve_cli.app import run
from superserve_cli.core import outcomes, provenance
from superserve_cli.core.outcomes import STATUSES
from superserve_cli.engine import recording
from superserve_cli.policies import named
from superserve_cli.serving.load import replay
from superserve_cli.serving.protocol import InferRequest, Tensor, write_request
from superserve_cli.serving.rpc.messages import METHODS, ModelInferRequest
from superserve_cli.supernet.onnx import export_subnet, export_whole
from superserve_cli.traces.trace import Trace
from tests.serving.nets import words
from tests.serving.reading import read_response

SLOW = 120
MODEL = "/v2/models/conv-glyphs"


@pytest.fixture(scope="module")
def front() -> list[str]:
    described = json.loads(files("superserve_cli.supernet").joinpath("data", "supernet.json").read_text())
    return list(described["front"])


@pytest.fixture(scope="module")
def profile(front: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("serve") / "profile.csv"
    rows = [f"{subnet},{size},{2 + rank + size},{0.8 + 0.01 * rank}" for rank, subnet in enumerate(front) for size in (1, 4)]
    path.write_text("\n".join(["subnet,batch_size,latency_ms,accuracy", *rows]) + "\n")
    return path


class Served:
    """A `superserve serve` process and a client's connection to it."""

    def __init__(self, profile: Path, *options: str) -> None:
        self.out = profile.parent / "run"
        command = [sys.executable, "-m", "superserve_cli", "serve", "--profile", str(profile), "--port", "0", "--slo-ms", "2000", *options]
        self.process = subprocess.Popen([*command, "--out", str(self.out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        self.port = int(self.line.split("http://127.0.0.1:")[1].split()[0])
        self.grpc_port = int(self.line.split("grpc://127.0.0.1:")[1].split()[0])

    def ask(self, method: str, path: str, body: object = b"", **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SLOW)
        connection.request(method, path, raw, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        said = answer.status, answer.headers, answer.read()
        connection.close()
        return said

    def infer(self, body: object, model: str = MODEL) -> tuple[int, Any]:
        status, _, answer = self.ask("POST", f"{model}/infer", body)
        return status, json.loads(answer)

    def children(self) -> list[int]:
        listed = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.process.pid)], capture_output=True, text=True, check=False)
        return [int(pid) for pid in listed.stdout.split()]

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def server(profile: Path) -> Iterator[Served]:
    served = Served(profile, "--record", str(profile.parent / "events.parquet"), "--fixtures")
    yield served
    served.stop()


def asked(**changes: Any) -> dict[str, Any]:
    return {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 1, 16, 16], "data": [0.5] * 256}], **changes}


def test_the_first_line_says_what_is_served_where(server: Served) -> None:
    where = f"http://127.0.0.1:{server.port} and grpc://127.0.0.1:{server.grpc_port}"
    assert server.line == f"serving conv-glyphs on {where} (slackfit, shed, 1 worker, SLO 2000 ms)\n"
    assert server.ask("GET", "/v2/health/ready")[0] == 200


def test_the_page_and_what_it_shows_come_from_the_server_itself(server: Served) -> None:
    status, headers, body = server.ask("GET", "/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert body.startswith(b"<!doctype html>")
    end = time.monotonic() + SLOW
    while not (live := json.loads(server.ask("GET", "/live")[2]))["samples"]:
        assert time.monotonic() < end
    assert live["serving"]["model"] == "conv-glyphs"


def test_the_metadata_say_what_a_load_generator_needs(server: Served, front: list[str]) -> None:
    said = json.loads(server.ask("GET", MODEL)[2])["parameters"]
    assert {
        "task": "glyphs",
        "seed": 0,
        "supernet": "conv-glyphs",
        "policy": "slackfit",
        "late": "shed",
        "workers": 1,
    }.items() <= said.items()
    assert said["slo_us"] == 2_000_000
    assert [subnet["id"] for subnet in said["subnets"]] == front
    assert said["hardware"]["device"] == "cpu"
    assert said["threads"] >= 1
    assert "torch" in said["versions"]


def test_json_and_binary_requests_get_the_same_logits_from_the_same_subnet(server: Served, front: list[str]) -> None:
    status, answer = server.infer(asked(id="x"))
    assert (status, answer["id"]) == (200, "x")
    assert answer["parameters"]["subnet"] in front
    assert answer["outputs"][0]["shape"] == [1, 20]
    sent = InferRequest((Tensor("input", "FP32", np.full((1, 1, 16, 16), 0.5, np.float32)),), binary_output=True)
    body, length = write_request(sent)
    _, headers, raw = server.ask("POST", f"{MODEL}/infer", body, Inference_Header_Content_Length=str(length))
    read = read_response(raw, int(headers["Inference-Header-Content-Length"]))
    assert read.parameters["subnet"] == answer["parameters"]["subnet"]
    np.testing.assert_allclose(read.outputs[0].data.ravel(), answer["outputs"][0]["data"], rtol=1e-5)


def test_grpc_gives_the_logits_that_http_gives(server: Served) -> None:
    data = np.full((1, 1, 16, 16), 0.5, np.float32)
    request = ModelInferRequest(model_name="conv-glyphs", raw_input_contents=[data.tobytes()])
    request.inputs.add(name="input", datatype="FP32", shape=data.shape)
    infer = METHODS["ModelInfer"]
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        call = channel.unary_unary(infer.path, infer.request.SerializeToString, infer.response.FromString)
        answer = call(request, timeout=SLOW)
    status, same = server.infer(asked(parameters={"subnet": answer.parameters["subnet"].string_param}))
    assert status == 200
    np.testing.assert_allclose(np.frombuffer(answer.raw_output_contents[0], "<f4"), same["outputs"][0]["data"], rtol=1e-5)


def test_an_impossible_slo_is_a_504_and_a_generous_floor_is_kept(server: Served) -> None:
    assert server.infer(asked(parameters={"timeout": 10}))[0] == 504
    status, answer = server.infer(asked(parameters={"slo_us": 1_000_000, "min_accuracy": 0.83}))
    assert status == 200
    assert answer["parameters"]["accuracy"] >= 0.83


def test_the_versions_are_the_served_subnets_and_each_can_be_asked_for(server: Served, front: list[str]) -> None:
    assert json.loads(server.ask("GET", MODEL)[2])["versions"] == front
    for subnet in front:
        status, answer = server.infer(asked(parameters={"subnet": subnet, "priority": 1}))
        assert (status, answer["model_version"], answer["parameters"]["subnet"]) == (200, subnet, subnet)
    entries = json.loads(server.ask("GET", f"{MODEL}/stats")[2])["model_stats"]
    assert {entry["version"] for entry in entries if entry["inference_count"]} == set(front)


def test_fixtures_stand_beside_the_supernet(server: Served) -> None:
    texts = {"name": "INPUT0", "datatype": "BYTES", "shape": [1, 2], "data": ["a", "b"]}
    status, _, answer = server.ask("POST", "/v2/models/simple_identity/versions/1/infer", {"inputs": [texts]})
    assert (status, json.loads(answer)["outputs"][0]["data"]) == (200, ["a", "b"])


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"{MODEL}/infer", asked(inputs=[{**asked()["inputs"][0], "shape": [1, 16, 16]}]), 400),
        (f"{MODEL}/infer", asked(inputs=[{**asked()["inputs"][0], "datatype": "INT64", "data": [1] * 256}]), 400),
        (f"{MODEL}/infer", b"\0\1\2", 400),
        ("/v2/models/other/infer", asked(), 404),
    ],
)
def test_bad_requests_leave_the_server_serving(server: Served, path: str, body: object, status: int) -> None:
    got, _, answer = server.ask("POST", path, body)
    assert got == status
    assert list(json.loads(answer)) == ["error"]
    assert server.infer(asked())[0] == 200


def test_a_body_that_no_batch_could_need_is_not_even_read(server: Served) -> None:
    got, _, answer = server.ask("POST", f"{MODEL}/infer", b" " * 1_000_000)
    assert (got, list(json.loads(answer))) == (413, ["error"])


def test_sigterm_answers_what_is_queued_writes_the_run_and_leaves_nothing_behind(server: Served, profile: Path) -> None:
    body = json.dumps(asked()).encode()
    head = f"POST {MODEL}/infer HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    workers = server.children()
    assert len(workers) == 1
    with socket.create_connection(("127.0.0.1", server.port), timeout=SLOW) as client, client.makefile("rb") as answers:
        client.sendall((head + body) * 20)
        assert b" 200 " in answers.readline()
        server.process.send_signal(signal.SIGTERM)
        rest = answers.read()
    assert rest.count(b"HTTP/1.1 200 OK") + rest.count(b"HTTP/1.1 503 ") == 19
    stdout, _ = server.process.communicate(timeout=SLOW)
    assert (server.process.returncode, stdout) == (0, "")
    for pid in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert not list(Path("/dev/shm").glob(f"superserve_{server.process.pid}*"))
    run, manifest = outcomes.read(server.out / "outcomes.parquet")
    assert manifest["kind"] == "live"
    assert {"met", "dropped"} <= {STATUSES[status] for status in run.status}
    assert (server.out / "report.html").exists()
    kept = recording.read(server.out.parent / "events.parquet")
    assert {"restore", "arrive", "dispatch", "drop", "complete"} <= set(kept.table["event"].to_pylist())
    assert recording.first_difference(kept, kept.engine(profiles.load(profile), named("slackfit"))) is None
    assert recording.first_difference(kept, kept.engine(profiles.load(profile), named("infaas"))) is not None


KEY = "a-key-of-the-tests"


def test_events_that_cannot_be_written_do_not_cost_the_outcomes(profile: Path, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    shutil.copy(profile, tmp_path / profile.name)
    served = Served(tmp_path / profile.name, "--record", str(tmp_path / "gone" / "events.parquet"))
    assert served.infer(asked())[0] == 200
    (tmp_path / "gone").rmdir()
    (tmp_path / "gone").write_text("in the way")
    served.process.send_signal(signal.SIGTERM)
    _, err = served.process.communicate(timeout=SLOW)
    assert served.process.returncode == 2
    assert f"error: cannot write {tmp_path / 'gone' / 'events.parquet'}" in err
    assert len(outcomes.read(served.out / "outcomes.parquet")[0]) == 1


def lines(file: Any, until: str) -> dict[str, Any]:
    """The fields of the first event of that name in a log of JSON lines; every line before it is JSON too."""
    for line in file:
        if (said := json.loads(line)).get("event") == until:
            return dict(said)
    raise AssertionError(f"no event {until}")


def test_a_configured_server_speaks_tls_asks_for_keys_logs_json_and_swaps_on_sighup(profile: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(tmp_path / "cert.pem"))
    (tmp_path / "keys").write_text(KEY)
    (tmp_path / "profile.csv").write_text(profile.read_text())
    written = [
        'profile = "profile.csv"', "port = 0", "slo-ms = 2000", "quiet = true", 'host = "localhost"', 'log-level = "info"',
        'log-format = "json"', 'api-key-file = "keys"', 'tls-cert = "cert.pem"', 'tls-key = "key.pem"',
    ]  # fmt: skip
    config = tmp_path / "serve.toml"
    config.write_text("\n".join([*written, 'policy = "max-batch"']))
    command = [sys.executable, "-m", "superserve_cli", "serve", "--config", str(config), "--late", "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert "(max-batch, serve, 1 worker, SLO 2000 ms)" in line
        trusting = ssl.create_default_context()
        authority.configure_trust(trusting)

        def ask(path: str, body: object = None, **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
            port = int(line.split("https://localhost:")[1].split()[0])
            connection = http.client.HTTPSConnection("localhost", port, timeout=SLOW, context=trusting)
            connection.request("GET" if body is None else "POST", path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            said = answer.status, answer.headers, answer.read()
            connection.close()
            return said

        assert ask("/v2/health/ready")[0] == 200
        status, headers, answer = ask(f"{MODEL}/infer", asked())
        assert (status, headers["WWW-Authenticate"], list(json.loads(answer))) == (401, "Bearer", ["error"])
        assert ask(f"{MODEL}/infer", asked(), Authorization=f"Bearer {KEY}")[0] == 200
        large = asked(inputs=[{**asked()["inputs"][0], "shape": [4, 1, 16, 16], "data": [0.12345678901234567] * 1024}])
        assert ask(f"{MODEL}/infer", large, Authorization=f"Bearer {KEY}")[0] == 200
        trusted = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
        with grpc.secure_channel(line.split("grpcs://")[1].split()[0], trusted) as channel:
            call = channel.unary_unary("/inference.GRPCInferenceService/ServerMetadata")
            assert b"superserve" in call(b"", metadata=[("authorization", f"Bearer {KEY}")], timeout=SLOW)
            with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
                call(b"", timeout=SLOW)
        config.write_text("\n".join([*written, 'policy = "nonsense"']))
        process.send_signal(signal.SIGHUP)
        assert lines(process.stderr, "swap_failed")["error"] == "no policy 'nonsense'"
        config.write_text("\n".join([*written, 'policy = "infaas"', "max-connections = 7"]))
        process.send_signal(signal.SIGHUP)
        assert lines(process.stderr, "restart_needed")["settings"] == "max_connections"
        assert lines(process.stderr, "swapped")["how"] == "replanned"
        said = json.loads(ask(MODEL, Authorization=f"Bearer {KEY}")[2])["parameters"]
        assert (said["policy"], said["late"]) == ("infaas", "serve")
        process.send_signal(signal.SIGTERM)
        assert lines(process.stderr, "stopping")["pending"] == 0
        assert process.wait(SLOW) == 0


WORDS = {"name": "input", "datatype": "INT64", "shape": [1, 6], "data": [3, 1, 19, 4, 0, 0]}


def test_a_hangup_while_the_server_starts_does_not_end_it(profile: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    says_so = f"from pathlib import Path\nPath({str(tmp_path / 'begun')!r}).touch()\n"
    mine.write_text(f"import time\n{says_so}time.sleep(1)\ndef f(profile, workers):\n    return lambda slack_ns, depth: None\n")
    command = [sys.executable, "-m", "superserve_cli", "serve", "--profile", str(profile), "--policy", f"{mine}:f", "--check"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    until_s = time.monotonic() + SLOW
    while not (tmp_path / "begun").exists() and process.poll() is None and time.monotonic() < until_s:
        time.sleep(0.01)
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=SLOW)[1] == "nothing is wrong\n"
    assert process.returncode == 0


@pytest.fixture(scope="module", params=["folder", "whole", "static"])
def of_words(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of one subnet of a SuperNet of words, in each form that there is."""
    net, place = words(), tmp_path_factory.mktemp("words")
    profile = place / "profile.csv"
    profile.write_text("subnet,batch_size,latency_ms,accuracy\nd2,1,5,0.5\nd2,2,6,0.5\n")
    (place / "held").mkdir()
    path = place / "held" / "net.onnx" if request.param == "whole" else place / "held"
    if request.param == "folder":
        supernet.save(path, net)
    elif request.param == "whole":
        export_whole(net, ["d1", "d2"], path, verify=False)
    else:
        export_subnet(net, "d2", path / "d2.onnx", verify=False)
    served = Served(profile, "--threads", "1", str(path))
    yield served
    served.stop()


def test_words_are_answered_as_the_supernet_answers_them_in_whatever_form_it_is_served(of_words: Served) -> None:
    model, net = "/v2/models/words", words()
    assert json.loads(of_words.ask("GET", model)[2])["inputs"] == [{"name": "input", "datatype": "INT64", "shape": [-1, 6]}]
    row = np.array([WORDS["data"]])
    with torch.inference_mode():
        expected = net.forward(torch.from_numpy(row), "d2").numpy()
    status, answer = of_words.infer({"inputs": [WORDS]}, model)
    assert (status, answer["parameters"]["subnet"]) == (200, "d2")
    np.testing.assert_allclose(answer["outputs"][0]["data"], expected[0], rtol=1e-4, atol=1e-5)
    status, headers, raw = of_words.ask("POST", f"{model}/infer", row.tobytes(), Inference_Header_Content_Length="0")
    read = read_response(raw, int(headers["Inference-Header-Content-Length"]))
    np.testing.assert_allclose(read.outputs[0].data, expected, rtol=1e-4, atol=1e-5)
    for wrong in ({"data": [3, 1, 20, 4, 0, 0]}, {"data": [-1, 1, 2, 4, 0, 0]}, {"datatype": "FP32"}, {"datatype": "INT32"}):
        status, answer = of_words.infer({"inputs": [{**WORDS, **wrong}]}, model)
        assert (status, list(answer)) == (400, ["error"])
    assert of_words.infer({"inputs": [WORDS]}, model)[0] == 200


def test_load_for_words_is_words(of_words: Served) -> None:
    run = replay(f"http://127.0.0.1:{of_words.port}", Trace(np.arange(20) * 20_000_000), 2_000_000_000)
    assert {STATUSES[status] for status in run.outcomes.status} == {"met"}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--policy", "nonsense"], "no policy 'nonsense'"),
        (["--late", "never"], "no late rule 'never'"),
        (["--slo-ms", "0"], "--slo-ms is 0"),
        (["--slo-ms", "nan"], "--slo-ms is nan"),
        (["--slo-ms", "-3"], "--slo-ms is -3"),
        (["--hung-ms", "9"], "--hung-ms is 9"),
        (["--hung-ms", "nan"], "--hung-ms is nan"),
        (["--port", "99999"], "--port"),
        (["--slo-ms", "1e-9"], "--slo-ms is 1e-09"),
        (["--drain-s", "inf"], "--drain-s"),
        (["--max-queue", "99999999999999999999"], "--max-queue"),
        (["--max-queue-mb", "99999999999999999999"], "--max-queue-mb"),
        (["--max-connections", "3000000000"], "--max-connections"),
        (["missing", "--check"], "cannot read missing: No such file"),
        (["--max-queue", "0"], "--max-queue"),
        (["--threads", "0"], "--threads"),
        (["--pack-mb", "-1"], "--pack-mb"),
        (["--subnets", "d9"], "no subnet 'd9'"),
        (["--profile", "missing.csv"], "there is no missing.csv"),
        (["--host", ""], "--host is empty"),
        (["--grpc-port", "99999"], "--grpc-port"),
        (["--grpc-port", "8000"], "--port and --grpc-port are both 8000"),
        (["--grpc-port", "9", "--no-grpc"], "--grpc-port and --no-grpc exclude each other"),
        (["--host", "0.0.0.0"], "--host 0.0.0.0 lets other machines ask"),
        (["--api-key", "short"], "--api-key is not of 16 or more"),
        (["--api-key-file", "missing"], "cannot read the keys of missing: No such file"),
        (["--tls-cert", "cert.pem"], "--tls-cert alone makes no TLS"),
        (["--tls-client-ca", "ca.pem"], "--tls-client-ca alone makes no TLS"),
        (["--tls-cert", "cert.pem", "--tls-key", "key.pem", "--check"], "cannot read cert.pem: No such file"),
        (["--log-format", "xml"], "no log format 'xml'"),
        (["--log-level", "loud"], "no log level 'loud'"),
        (["--config", "missing.toml"], "cannot read missing.toml: No such file"),
        (["--policy", "fixed:huge", "--check"], "no served subnet 'huge'"),
        (["--host", "192.0.2.1", "--insecure"], "cannot listen on 192.0.2.1:8000: cannot assign requested address ("),
        (["--host", "no.such.host.invalid", "--insecure"], "cannot listen on no.such.host.invalid:8000"),
    ],
)
def test_a_wrong_option_is_one_line(profile: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str) -> None:
    assert run(["serve", "--profile", str(profile), *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


def test_a_folder_with_a_link_to_nothing_is_one_line(profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "weights.safetensors").symlink_to("gone")
    assert run(["serve", "--profile", str(profile), str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"error: cannot read {tmp_path / 'weights.safetensors'}: No such file")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--dtype", "int8"], "no dtype 'int8'"),
        (["--device", "abacus"], "no device 'abacus'"),
        (["missing"], "cannot read missing: No such file"),
        (["--profile", "modelled"], "which the profile serves (profile what is served"),
    ],
)
def test_what_a_worker_cannot_do_is_one_line(profile: Path, capsys: pytest.CaptureFixture[str], options: list[str], says: str) -> None:
    assert run(["serve", "--quiet", "--port", "0", "--profile", str(profile), *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1


def test_what_is_right_is_checked_without_a_worker(profile: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--profile", str(profile), "--check"]) == 0
    assert capsys.readouterr() == ("", "nothing is wrong\n")


def test_a_key_on_the_command_line_is_in_no_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["superserve", "serve", "--api-key", "of-the-user", "--port", "0", "--api-key=of-the-user"])
    assert provenance.command() == ["superserve", "serve", "--api-key", "***", "--port", "0", "--api-key=***"]


@pytest.mark.parametrize("option", ["--port", "--grpc-port"])
def test_a_port_in_use_is_one_line_and_no_worker_is_started(profile: Path, capfd: pytest.CaptureFixture[str], option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        free = ["--port", "0"] if option == "--grpc-port" else []
        assert run(["serve", "--quiet", "--profile", str(profile), *free, option, str(port)]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert f"cannot listen on 127.0.0.1:{port}{' for gRPC' if free else ''}: it is in use" in err
