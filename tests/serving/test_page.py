"""The page at `/` and its endpoint: what they say, and what Chromium makes of them."""

import json
import re
import socket
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

import pytest

from superserve_cli.serving import page
from tests.serving.chromium import CHROMIUM, Chromium
from tests.serving.standing import KEY, lively, standing

World = Callable[..., Any]
TITLES = ["Arrivals", "Attainment", "Served accuracy", "Queue", "Time in the queue", "Workers’ busy time"]


def get(world: Any, path: str, *headers: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    send, wire, _ = world.connect()
    send("\r\n".join([f"{method} {path} HTTP/1.1", *headers, "", ""]).encode())
    head, _, body = bytes(wire.sent).partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return int(first.split()[1]), dict(line.split(": ", 1) for line in lines), body


def live(world: Any, path: str = "/live") -> dict[str, Any]:
    status, _, body = get(world, path)
    assert status == 200
    return dict(json.loads(body))


# the endpoint


def test_live_says_what_is_served_and_how_it_goes(world: World) -> None:
    said = live(lively(world(workers=2), 5))
    assert said["server"]["name"] == "superserve"
    assert (said["unready"], said["last"], len(said["samples"])) == ("", 5, 5)
    assert (said["serving"]["model"], said["serving"]["policy"]) == ("net", "max-accuracy")
    assert said["workers"][0] == {
        "worker": 0,
        "up": True,
        "restarts": 0,
        "losses": 0,
        "last_loss": None,
        "batches": said["workers"][0]["batches"],
        "plan_scale": 1.0,
    }
    assert said["samples"][-1]["met"] == 6


def test_live_has_only_what_is_new_for_those_who_have_seen_the_rest(world: World) -> None:
    server = lively(world(), 5)
    assert [sample["number"] for sample in live(server, "/live/3")["samples"]] == [4, 5]
    assert live(server, "/live/99999999999999999999999")["samples"] == []
    assert get(server, "/live/x")[0] == 404
    assert get(server, "/live", method="POST")[0] == 405


def test_live_is_never_kept_by_a_cache(world: World) -> None:
    assert get(world(), "/live")[1]["Cache-Control"] == "no-store"


def test_live_names_a_lost_worker_and_why(world: World) -> None:
    server = world(workers=2)
    server.links[1].die()
    lost = live(server)["workers"][1]
    assert (lost["up"], lost["losses"], lost["last_loss"]) == (False, 1, "ended")


def test_a_server_without_models_yet_says_that_it_loads(world: World) -> None:
    server = world()
    server.desk.models.clear()
    said = live(server)
    assert (said["serving"], said["unready"]) == (None, "the workers are still loading")


# the file


def test_a_browser_that_has_the_page_is_told_so(world: World) -> None:
    server = world()
    status, headers, body = get(server, "/")
    assert (status, headers["Content-Type"], headers["Cache-Control"]) == (200, "text/html; charset=utf-8", "no-cache")
    assert get(server, "/", f"If-None-Match: {headers['ETag']}")[::2] == (304, b"")
    assert get(server, "/", 'If-None-Match: "another"')[::2] == (200, body)


def test_the_policy_of_the_page_allows_its_own_script_and_styles_alone(world: World) -> None:
    _, headers, body = get(world(), "/")
    policy = headers["Content-Security-Policy"]
    (script,) = re.findall("<script>(.*?)</script>", body.decode(), re.DOTALL)
    assert f"script-src 'sha256-{b64encode(sha256(script.encode()).digest()).decode()}';" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_the_page_is_whole_without_any_other_host() -> None:
    text = page.load().body.decode()
    assert re.findall(r"(?:src|href)=\"(?!data:|v2|metrics)", text) == []
    assert set(re.findall(r"https?://[^'\"\s]+", text)) == {"http://www.w3.org/2000/svg"}
    assert re.findall(r"\son\w+=|\sstyle=", text) == []


# what a browser makes of it


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    if CHROMIUM is None:
        pytest.skip("there is no Chromium on this machine")
    browser = Chromium(tmp_path_factory.mktemp("chromium"))
    yield browser
    browser.close()


@pytest.fixture
def tab(chromium: Chromium) -> Iterator[Chromium]:
    """The browser, of which nothing is remembered, and which may not have asked another host or complained about the page."""
    chromium.complaints.clear()
    chromium.requests.clear()
    yield chromium
    chromium.go("about:blank")
    assert {urlsplit(url).hostname for url in chromium.requests if url.startswith("http")} <= {"127.0.0.1"}
    assert [text for text in chromium.complaints if "Failed to load resource" not in text] == []


STATUS = "document.getElementById('status').textContent"
CHART = "[s.querySelector('h2').textContent, s.querySelector('.line').getAttribute('d').length]"
DRAWN = f"[...document.querySelectorAll('#charts section')].map(s => {CHART})"
HIDE = "Object.defineProperty(document, 'hidden', {value: true, configurable: true})"
TELL = "document.dispatchEvent(new Event('visibilitychange'))"


def recent(world: Any) -> Any:
    return lively(world, 200, began_unix_s=time.time() - 200)


def test_every_chart_has_a_line_and_its_present_value_as_text(tab: Chromium, world: World) -> None:
    with standing(recent(world())) as url:
        tab.open(url)
        tab.until(STATUS, "live".__eq__)
        drawn = dict(tab.until(DRAWN, lambda charts: all(length > 100 for _, length in charts)))
        assert list(drawn) == TITLES
        shown = tab.ask("[...document.querySelectorAll('#charts b')].map(b => b.textContent)")
        assert shown[:3] == ["8requests/s", "75.00%", "86.67%"]
        labels = tab.ask("[...document.querySelectorAll('svg[role=img]')].map(svg => svg.getAttribute('aria-label'))")
        assert "Arrivals over 5 minutes: now 8, lowest 8, highest 8 requests/s" in labels
        assert tab.complaints == []


def test_the_page_names_subnets_workers_and_how_to_ask(tab: Chromium, world: World) -> None:
    with standing(recent(world(workers=2))) as url:
        tab.open(url)
        tab.until(STATUS, "live".__eq__)
        assert tab.ask("document.querySelectorAll('#mix rect').length") > 100
        assert tab.ask("document.querySelectorAll('#workers tbody tr').length") == 2
        assert tab.ask("document.getElementById('curl').textContent").startswith(f"curl {url}/v2/models/net/infer -d '")
        assert tab.ask("document.title") == "net · superserve"


@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_a_phone(tab: Chromium, world: World, dark: bool) -> None:
    with standing(recent(world())) as url:
        tab.open(url, wide=360, high=740, phone=True, dark=dark)
        tab.until(STATUS, "live".__eq__)
        assert tab.ask("document.documentElement.scrollWidth") == 360


def test_pointing_at_a_chart_reads_another_time(tab: Chromium, world: World) -> None:
    with standing(recent(world())) as url:
        tab.open(url)
        tab.until(STATUS, "live".__eq__)
        box = tab.ask("(box => [box.x, box.y, box.width, box.height])(document.querySelector('#charts svg').getBoundingClientRect())")
        tab.call("Input.dispatchMouseEvent", type="mouseMoved", x=box[0] + box[2] * 0.75, y=box[1] + box[3] / 2)
        assert tab.until("document.querySelectorAll('.cursor').length") == len(TITLES) + 1


def test_the_page_says_that_a_server_is_gone_and_goes_on_when_it_is_back(tab: Chromium, world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as one:
        port = one.getsockname()[1]
    with standing(recent(world()), port) as url:
        tab.open(url)
        tab.until(STATUS, "live".__eq__)
    tab.until(STATUS, lambda text: str(text).startswith("no connection"))
    with standing(lively(world(), 5, began_unix_s=time.time()), port):
        tab.until(STATUS, "live".__eq__)
        tab.until("samples.length", (205).__eq__)


def test_the_page_asks_for_a_key_and_tells_a_wrong_one(tab: Chromium, world: World) -> None:
    def type_key(key: str) -> None:
        tab.ask(f"document.getElementById('key').value = '{key}', document.querySelector('#ask-key button').click()")

    with standing(recent(world()), locked=True) as url:
        tab.open(url)
        tab.until("!document.getElementById('ask-key').hidden")
        assert tab.ask("document.getElementById('charts').clientHeight") == 0
        type_key("wrong")
        tab.until("document.getElementById('key-note').textContent", "The server does not take that one.".__eq__)
        type_key(KEY)
        tab.until(STATUS, "live".__eq__)
        assert tab.ask("document.getElementById('ask-key').hidden")


def test_a_hidden_page_asks_for_nothing(tab: Chromium, world: World) -> None:
    with standing(recent(world())) as url:
        tab.open(url)
        tab.until(STATUS, "live".__eq__)
        tab.ask(f"{HIDE}, {TELL}")
        tab.until(STATUS, "paused".__eq__)
        tab.ask(f"delete document.hidden, {TELL}")
        tab.until(STATUS, "live".__eq__)


def test_a_server_that_has_done_nothing_yet_is_shown_as_such(tab: Chromium, world: World) -> None:
    server = world()
    with standing(server) as url:
        tab.open(url)
        tab.until(STATUS, "live".__eq__)
        assert tab.ask("[...document.querySelectorAll('#charts b')].map(b => b.textContent)")[0] == "–requests/s"
