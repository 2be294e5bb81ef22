"""The command as users start it, against small servers and our own."""

import json
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from superserve_cli.app import run
from tests.conformance.servers import serving


def test_failures_exit_with_3_and_say_what_was_expected_and_what_came(capsys: pytest.CaptureFixture[str]) -> None:
    with serving("forgets") as url:
        assert run(["conformance", url]) == 3
    said = capsys.readouterr()
    assert "small 1, model sum" in said.out
    assert "the id 'request-7'" in said.out
    assert "that the protocol requires" in said.err


def test_the_report_as_json_has_every_case_with_its_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with serving("forgets") as url:
        run(["conformance", url, "--model", "sum", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said["schema"] == "conformance/1"
    failed = [case["case"] for case in said["cases"] if case["result"] == "fail" and case["group"] == "inference"]
    assert failed == ["id is returned", "id of any text is returned"]
    assert all(case["sentence"] for case in said["cases"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["localhost:8000"], "is no http"),
        (["http://127.0.0.1:1"], "nothing answers"),
        (["http://127.0.0.1:1", "--header", "x"], "no header"),
    ],
)
def test_a_url_that_is_wrong_is_a_user_error(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["conformance", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_models_and_addresses_that_do_not_exist_are_user_errors(capsys: pytest.CaptureFixture[str]) -> None:
    with serving() as url:
        assert run(["conformance", url, "--model", "sun"]) == 2
        assert "did you mean sum" in capsys.readouterr().err
        assert run(["conformance", url, "--grpc", "nowhere"]) == 2
        assert "no address" in capsys.readouterr().err


def test_a_certificate_is_believed_when_its_authority_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    authority, ours = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with serving(tls=ours) as url:
        assert run(["conformance", url]) == 2
        assert "is not to be trusted" in " ".join(capsys.readouterr().err.split())
        for trusting in (["--ca", str(tmp_path / "ca.pem")], ["--insecure-tls"]):
            run(["conformance", url, "--json", *trusting])
            assert json.loads(capsys.readouterr().out)["counts"]["pass"] > 50


@pytest.fixture(scope="module")
def ours() -> Iterator[tuple[str, str]]:
    command = [sys.executable, "-m", "superserve_cli", "serve", "--fixtures", "--port", "0", "--slo-ms", "60000", "-q"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"on (http://\S+) and grpc://(\S+)", process.stdout.readline())
        assert found is not None
        yield found[1], found[2]
        process.terminate()


@pytest.mark.parametrize("model", ["conv-glyphs", "simple", "simple_string", "simple_identity"])
def test_our_own_server_keeps_the_protocol_to_the_letter(ours: tuple[str, str], model: str, capsys: pytest.CaptureFixture[str]) -> None:
    url, grpc = ours
    assert run(["conformance", url, "--grpc", grpc, "--model", model, "--disturb", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [case["case"] for case in said["cases"] if case["result"] == "fail"] == []
    assert said["counts"]["pass"] > 190
