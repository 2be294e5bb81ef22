"""`superserve top`: frames from known samples, a real server on the other side, and a real terminal around it."""

import json
import os
import pty
import select
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from superserve_cli.app import run
from superserve_cli.errors import BadOption, Unreachable
from superserve_cli.serving import live
from superserve_cli.serving.top import Feed, frame
from superserve_cli.serving.top.frame import Line, bar, spark
from tests.serving.standing import KEY, lively, standing

World = Callable[..., Any]
GOLDEN = Path(__file__).parents[1] / "golden"
PATIENCE_S = 60.0


def text(lines: list[Line]) -> str:
    return "".join("".join(piece for piece, _ in line).rstrip() + "\n" for line in lines)


def said(world: Any) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    state = json.loads(live.document(world.desk, 0))
    return state, state["samples"]


# frames


def test_a_frame_reads_as_it_did(world: World) -> None:
    server = lively(world(workers=2, policy="slackfit"), 90)
    server.links[1].die()
    server.model.described = {
        "policy": "slackfit",
        "late": "drop",
        "slo_us": 20_000,
        "profile": "two",
        "workers": 2,
        "hardware": {"device": "cpu"},
        "subnets": [{"id": "small", "accuracy": 0.8}, {"id": "large", "accuracy": 0.9}],
    }
    state, samples = said(server)
    state["server"]["version"] = "0"
    drawn, path = text(frame(state, samples, "http://127.0.0.1:8000")), GOLDEN / "top.txt"
    if os.environ.get("SUPERSERVE_GOLDEN") == "write":
        path.write_text(drawn, encoding="utf-8")
    assert drawn == path.read_text(encoding="utf-8")


@given(width=st.integers(64, 200), height=st.integers(1, 60), seconds=st.integers(0, 5), workers=st.integers(1, 9))
def test_a_frame_fits_the_terminal(world: World, width: int, height: int, seconds: int, workers: int) -> None:
    state, samples = said(lively(world(workers=workers), seconds))
    lines = text(frame(state, samples, "http://127.0.0.1:8000", width, height)).splitlines()
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_subnets_leave_room_for_workers(world: World) -> None:
    server = lively(world(workers=3), 5)
    state, samples = said(server)
    for sample in samples:
        sample["rows"] = {f"subnet-{i}": 1 for i in range(50)}
    lines = text(frame(state, samples, "http://x", 80, 24)).splitlines()
    assert [line[0] for line in lines[-3:]] == ["0", "1", "2"]
    assert sum(line.startswith("subnet-") for line in lines) == 7


def test_workers_in_trouble_are_shown_where_there_is_no_room_for_all(world: World) -> None:
    server = lively(world(workers=20), 2)
    server.links[17].die()
    state, samples = said(server)
    assert "17      down, ended" in text(frame(state, samples, "http://x", 80, 24))


def test_a_server_that_starts_has_a_frame_too(world: World) -> None:
    server = world()
    server.desk.models.clear()
    drawn = text(frame(*said(server), "http://x"))
    assert "the workers are still loading" in drawn
    assert "nothing has run" in drawn


def test_blocks_rise_with_their_values_and_unknown_ones_are_blank() -> None:
    assert spark([0, None, 7, 15, 16], least=1) == "▁ ▄██"
    assert spark([1.0, 0.95, 0.9], least=0.1, share=True) == "█▄▁"
    assert spark([1.0, 1.0], least=0.1, share=True) == "██"
    assert spark([0.0, 0.0], least=1, share=True) == "▁▁"
    assert spark([None], least=1) == " "


def test_bars_are_as_long_as_their_share_to_an_eighth() -> None:
    assert [bar(share, 4) for share in (0, 0.5, 0.53125, 1)] == ["", "██", "██▏", "████"]


# a server on the other side


def test_once_prints_one_frame_and_json_one_sample(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with standing(lively(world(), 20)) as url:
        assert run(["top", url, "--once"]) == 0
        drawn = capsys.readouterr().out
        assert run(["top", f"{url}/", "--json"]) == 0
        printed = json.loads(capsys.readouterr().out)
    assert drawn.startswith(f"net  {url}  superserve ")
    assert max(map(len, drawn.splitlines())) <= 80
    assert (printed["sample"]["number"], printed["serving"]["model"]) == (20, "net")
    assert "samples" not in printed


def test_where_stdout_is_no_terminal_one_frame_is_all(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    with standing(lively(world(), 20)) as url:
        assert run(["top", url]) == 0
    assert capsys.readouterr().out.count("attainment") == 1


def test_a_feed_goes_on_when_the_server_was_restarted(world: World) -> None:
    first, second = lively(world(), 4, began_unix_s=100.0), lively(world(), 2, began_unix_s=200.0)
    with standing(first) as url:
        feed = Feed(url)
        feed.poll()
        first.desk.history.sample(first.clock.now_ns() + 10**9, 105.0)
        feed.poll()
        port = int(url.rpartition(":")[2])
    with pytest.raises(Unreachable, match="nothing answers"):
        feed.poll()
    assert feed.state is not None
    with standing(second, port):
        feed.poll()
    assert [sample["unix_s"] for sample in feed.samples] == [101.0, 102.0, 103.0, 104.0, 105.0, 201.0, 202.0]


def test_a_locked_server_is_shown_to_those_who_have_the_key(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with standing(lively(world(), 2), locked=True) as url:
        assert run(["top", url, "--once"]) == 2
        assert "asks for an API key (give it with --api-key, or in SUPERSERVE_API_KEY)" in capsys.readouterr().err
        assert run(["top", url, "--once", "--api-key", KEY]) == 0
        monkeypatch.setenv("SUPERSERVE_API_KEY", KEY)
        assert run(["top", url, "--once"]) == 0


def test_certificates_are_believed_when_their_authority_is_known(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    authority, ours = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(ours)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    with standing(lively(world(), 2), tls=ours) as url:
        assert run(["top", url, "--once"]) == 2
        assert "is not to be trusted" in " ".join(capsys.readouterr().err.split())
        assert run(["top", url, "--once", "--ca", str(tmp_path / "ca.pem")]) == 0
        assert run(["top", url, "--once", "--insecure-tls"]) == 0


def test_where_nothing_answers_one_line_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["top", "http://127.0.0.1:1"]) == 2
    assert "nothing answers at http://127.0.0.1:1" in capsys.readouterr().err


def test_another_v2_server_is_called_by_its_name(world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    server = world()

    monkeypatch.setattr(server.desk, "server", lambda: {"name": "other", "version": "1"})
    monkeypatch.setattr("superserve_cli.serving.routes.PATHS", ())
    with standing(server) as url:
        assert run(["top", url]) == 2
    assert "is a v2 server that calls itself 'other'" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://", "http://x:y", "http://x?q=1", "grpc://x:1"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(BadOption, match="URL"):
        Feed(url)


# a terminal around it


class Terminal:
    """`superserve top` in a terminal of 80 x 24."""

    def __init__(self, url: str) -> None:
        self.master, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
        command = [sys.executable, "-m", "superserve_cli", "top", url]
        self.process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True)
        os.close(theirs)
        self.shown = ""

    def until(self, wanted: str) -> None:
        """Wait for a text that was not there before."""
        end, at = time.monotonic() + PATIENCE_S, len(self.shown)
        while wanted not in self.shown[at:]:
            assert time.monotonic() < end, self.shown
            if select.select([self.master], [], [], 0.1)[0]:
                self.shown += os.read(self.master, 1 << 16).decode(errors="replace")

    def ended(self) -> int:
        """Its exit code."""
        while self.process.poll() is None:
            if select.select([self.master], [], [], 0.1)[0]:
                try:
                    self.shown += os.read(self.master, 1 << 16).decode(errors="replace")
                except OSError:  # it has closed its side
                    break
        return self.process.wait(PATIENCE_S)


@pytest.fixture
def terminal(world: World) -> Iterator[Callable[[str], Terminal]]:
    opened: list[Terminal] = []

    def start(url: str) -> Terminal:
        opened.append(Terminal(url))
        return opened[-1]

    yield start
    for one in opened:
        one.process.kill()
        one.process.wait()
        os.close(one.master)


def test_q_ends_it_and_the_terminal_is_given_back(terminal: Callable[[str], Terminal], world: World) -> None:
    with standing(lively(world(), 20)) as url:
        top = terminal(url)
        top.until("plan scale")
        os.write(top.master, b"q")
        assert top.ended() == 0
    assert "\x1b[?1049l" in top.shown


def test_an_interrupt_ends_it_as_interrupts_do(terminal: Callable[[str], Terminal], world: World) -> None:
    with standing(lively(world(), 20)) as url:
        top = terminal(url)
        top.until("plan scale")
        top.process.send_signal(signal.SIGINT)
        assert top.ended() == 130
    assert "\x1b[?1049l" in top.shown


def test_it_says_that_the_server_is_gone_and_goes_on_when_it_is_back(terminal: Callable[[str], Terminal], world: World) -> None:
    with standing(lively(world(), 20)) as url:
        top = terminal(url)
        top.until("live")
    top.until("no connection, trying again")
    with standing(lively(world(), 3), int(url.rpartition(":")[2])):
        top.until("live")
