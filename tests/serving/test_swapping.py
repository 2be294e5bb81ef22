"""A whole server whose SuperNet, profile and policy change while clients ask: real worker processes, which sleep instead of inferring."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from superserve_cli import policies, profiles
from superserve_cli.errors import BadFile
from superserve_cli.serving.keys import Keys
from superserve_cli.serving.server import Server
from superserve_cli.serving.settings import Settings
from superserve_cli.serving.workers.messages import Order

INFER = "/v2/models/sleeper/infer"
KEY = "a-key-of-the-tests"
QUESTION = {"inputs": [{"name": "input", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}


class World:
    """What lies on disk, as the settings of a server see it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.profile = "small,1,2,0.8\nsmall,2,3,0.8\nlarge,1,4,0.9\nlarge,2,5,0.9\n"
        self.shape = [3]
        self.name = "sleeper"
        self.policy = "max-accuracy"
        self.workers = 1
        self.keys = Keys()
        self.broken = False
        self.late = "serve"

    def settings(self) -> Settings:
        if self.broken:
            raise BadFile("the file is broken", hint="mend it")
        path = self.folder / "profile.csv"
        path.write_text("subnet,batch_size,latency_ms,accuracy\n" + self.profile)
        order = Order("superserve_cli.serving.workers.sleep:make", {"profile": str(path), "shape": self.shape, "name": self.name})
        served = profiles.load(str(path)).served("all")
        policy = policies.named(self.policy)
        return Settings([order] * self.workers, served, policy, self.late, 10**10, port=0, keys=self.keys)


class Client:
    """A client that asks, and a stream of questions that must all be answered."""

    def __init__(self, server: Server) -> None:
        self.port = int(server.url.rpartition(":")[2])
        self.answers: list[tuple[int, Any]] = []

    async def ask(self, method: str, path: str, body: object = None, *headers: str) -> tuple[int, Any]:
        status, said = await self.exchange(method, path, body, *headers)
        return status, json.loads(said or b"null")

    async def exchange(self, method: str, path: str, body: object = None, *headers: str) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        raw = b"" if body is None else json.dumps(body).encode()
        head = "\r\n".join([f"{method} {path} HTTP/1.1", f"Content-Length: {len(raw)}", "Connection: close", *headers, "", ""])
        writer.write(head.encode() + raw)
        answer = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2]

    async def infer(self, **parameters: object) -> tuple[int, Any]:
        return await self.ask("POST", INFER, {**QUESTION, "parameters": parameters})

    @asynccontextmanager
    async def asking(self) -> Any:
        """Three who ask without a pause as long as this lasts."""
        on = True

        async def asks() -> None:
            while on:
                self.answers.append(await self.infer())

        tasks = [asyncio.create_task(asks()) for _ in range(3)]
        try:
            yield
        finally:
            on = False
            await asyncio.gather(*tasks)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for something to be so."""
        async with asyncio.timeout(60):
            while not true():
                await asyncio.sleep(0.01)

    def subnets(self) -> list[str]:
        """Which answered, in the order of the answers."""
        return [answer["parameters"]["subnet"] for _, answer in self.answers]


def talk(world: World, with_client: Callable[[Server, Client], Awaitable[None]], reread: bool = True, **changes: Any) -> None:
    async def run() -> None:
        server = Server(replace(world.settings(), **changes), world.settings if reread else None)
        try:
            await server.listen()
            await asyncio.wait_for(server.start(), 60)
            await with_client(server, Client(server))
            await server.drain()
        finally:
            server.stop()

    asyncio.run(run())


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@contextmanager
def logged(caplog: pytest.LogCaptureFixture, event: str) -> Iterator[Callable[[], list[Any]]]:
    """The events of that name since here."""
    caplog.set_level("INFO")
    begun = len(caplog.records)
    yield lambda: [record.msg for record in caplog.records[begun:] if getattr(record.msg, "name", None) == event]


def test_another_policy_decides_without_a_lost_request_and_with_the_same_workers(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def story(server: Server, client: Client) -> None:
        pids = server.pids
        with logged(caplog, "swapped") as swapped:
            async with client.asking():
                await client.until(lambda: len(client.answers) > 5)
                world.policy = "infaas"
                server.swap()
                await client.until(lambda: bool(swapped()))
                since = len(client.answers)
                await client.until(lambda: len(client.answers) > since + 10)
            assert [event.fields["how"] for event in swapped()] == ["replanned"]
        assert {status for status, _ in client.answers} == {200}
        assert client.subnets()[0] == "large"
        assert set(client.subnets()[-5:]) == {"small"}
        assert server.pids == pids
        assert server.described["policy"] == "infaas"

    talk(world, story)


def test_other_workers_take_over_without_a_lost_request_and_the_old_ones_end(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def story(server: Server, client: Client) -> None:
        (old,) = server.pids
        with logged(caplog, "swapped") as swapped:
            async with client.asking():
                await client.until(lambda: len(client.answers) > 5)
                world.workers, world.profile = 2, "tiny,1,1,0.7\ntiny,4,2,0.7\n"
                server.swap()
                await client.until(lambda: bool(swapped()))
                since = len(client.answers)
                await client.until(lambda: len(client.answers) > since + 10)
            assert [event.fields["how"] for event in swapped()] == ["replaced"]
        assert {status for status, _ in client.answers} == {200}
        assert set(client.subnets()[-5:]) == {"tiny"}
        await client.until(lambda: old not in server.pids)
        with pytest.raises(ProcessLookupError):
            os.kill(old, 0)
        assert len(server.pids) == 2
        assert (await client.ask("GET", "/v2/models/sleeper"))[1]["versions"] == ["tiny"]
        assert (await client.infer(subnet="large"))[0] == 400
        stats = (await client.ask("GET", "/v2/models/sleeper/versions/tiny/stats"))[1]
        assert stats["model_stats"][0]["inference_count"] >= 10

    talk(world, story)


def test_a_client_that_loads_the_model_hears_that_it_serves(world: World) -> None:
    async def story(server: Server, client: Client) -> None:
        world.policy = "infaas"
        assert (await client.ask("POST", "/v2/repository/models/sleeper/load", {}))[0] == 200
        assert (await client.infer())[1]["parameters"]["subnet"] == "small"
        status, answer = await client.ask("POST", "/v2/repository/models/sleeper/load", {"parameters": {"config": "{}"}})
        assert status == 501
        assert "without parameters" in answer["error"]

    talk(world, story)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"broken": True}, "the file is broken (mend it)"),
        ({"policy": "nonsense"}, "no policy 'nonsense'"),
        ({"late": "never"}, "no late rule 'never'"),
        ({"policy": "fixed:huge"}, "no served subnet 'huge'"),
        ({"shape": [4]}, "the shape (4,), and clients rely on (3,)"),
        ({"name": "stranger"}, "the name stranger, and clients rely on sleeper"),
    ],
)
def test_a_swap_that_fails_says_why_to_log_and_client_and_changes_nothing(
    world: World, caplog: pytest.LogCaptureFixture, change: dict[str, Any], says: str
) -> None:
    async def story(server: Server, client: Client) -> None:
        pids, described = server.pids, server.described
        for name, value in change.items():
            setattr(world, name, value)
        with logged(caplog, "swap_failed") as failed:
            async with client.asking():
                status, answer = await client.ask("POST", "/v2/repository/models/sleeper/load")
            assert status == 400
            assert says in answer["error"]
            assert [event.fields["error"] in answer["error"] for event in failed()] == [True]
        assert {status for status, _ in client.answers} == {200}
        assert (server.pids, server.described) == (pids, described)
        assert (await client.infer())[1]["parameters"]["subnet"] == "large"

    talk(world, story)


@pytest.mark.parametrize(("changes", "reread"), [({"record": True}, True), ({"events": True}, True), ({}, False)])
def test_a_run_that_is_kept_and_a_server_of_no_command_are_not_swapped(world: World, changes: dict[str, bool], reread: bool) -> None:
    async def story(server: Server, client: Client) -> None:
        load = "/v2/repository/models/sleeper/load"
        status, answer = await client.ask("POST", load)
        assert status == 400
        assert "--record" in answer["error"] or "nothing that could be loaded" in answer["error"]
        if reread:  # but what was unloaded comes back
            assert (await client.ask("POST", "/v2/repository/models/sleeper/unload"))[0] == 200
            assert (await client.infer())[0] == 503
            assert (await client.ask("POST", load))[0] == 200
        assert (await client.infer())[0] == 200

    talk(world, story, reread, **changes)


def test_keys_are_swapped_too_and_health_needs_none(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def story(server: Server, client: Client) -> None:
        old, new = f"Authorization: Bearer {KEY}", f"Authorization: Bearer next-{KEY}"
        assert (await client.infer())[0] == 401
        assert (await client.ask("GET", "/metrics"))[0] == 401
        assert (await client.ask("GET", "/live"))[0] == 401
        assert (await client.ask("GET", "/v2/health/live"))[0] == 200
        assert (await client.ask("POST", "/"))[0] == 405  # it is open, and only to be looked at
        assert (await client.ask("GET", "/v2/health/ready"))[0] == 200
        assert (await client.ask("POST", INFER, QUESTION, old))[0] == 200
        world.keys = Keys([f"next-{KEY}"])
        with logged(caplog, "swapped") as swapped:
            server.swap()
            await client.until(lambda: bool(swapped()))
        assert (await client.ask("POST", INFER, QUESTION, old))[0] == 401
        assert (await client.ask("POST", INFER, QUESTION, new))[0] == 200

    world.keys = Keys([KEY])
    talk(world, story)


def test_a_generation_that_is_gone_holds_nothing(world: World) -> None:
    def held() -> int:
        """Descriptors of workers' memory that this process has open."""
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return sum("superserve" in str(link.readlink()) for link in links)

    async def story(server: Server, client: Client) -> None:
        await client.infer()
        before = held()
        for workers in (2, 1):
            world.workers, gone = workers, set(server.pids)
            assert (await client.ask("POST", "/v2/repository/models/sleeper/load"))[0] == 200
            await client.until(lambda gone=gone: not gone & set(server.pids))  # type: ignore[misc]
            await client.infer()
        assert held() == before

    talk(world, story)


def test_who_waits_for_workers_that_were_too_slow_to_finish_is_told(world: World) -> None:
    world.profile = "small,1,8000,0.8\n"

    async def run(server: Server, client: Client) -> None:
        asked = [asyncio.create_task(client.infer()) for _ in range(4)]
        await client.until(lambda: server.pending == 4)
        world.workers = 2
        server.swap()
        assert [status for status, _ in await asyncio.gather(*asked)] == [503] * 4

    talk(world, run, longest_drain_s=0.1)


def test_the_requests_that_wait_take_of_the_servers_own_room(world: World) -> None:
    world.profile = "small,1,2000,0.8\nsmall,2,2000,0.8\n"

    async def with_client(server: Server, client: Client) -> None:
        async with client.asking():
            await client.until(lambda: server.pending == 3)
            _, metrics = await client.exchange("GET", "/metrics")
            assert f"superserve_pending_bytes {3 * 3 * 4:.1f}".encode() in metrics.splitlines()

    talk(world, with_client)


def test_a_drift_guard_is_the_generations_own(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def with_client(server: Server, client: Client) -> None:
        server.swap()
        await client.until(lambda: "event=swapped" in caplog.text)
        assert "how=replaced" in caplog.text

    caplog.set_level("INFO")
    talk(world, with_client, drift_guard=False)


def test_who_waits_for_a_swap_when_the_server_ends_is_told(world: World) -> None:
    async def story(server: Server, client: Client) -> None:
        world.workers = 2
        asked = asyncio.create_task(client.ask("POST", "/v2/repository/models/sleeper/load"))
        await client.until(lambda: len(server.pids) > 1)
        await server.drain()
        assert await asked == (503, {"error": "the server is shutting down"})

    talk(world, story)


def test_one_swap_does_for_all_who_ask_before_it_begins(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def story(server: Server, client: Client) -> None:
        with logged(caplog, "swapped") as swapped:
            async with server._swapper.turn:
                server.swap()
                loads = [asyncio.create_task(client.ask("POST", "/v2/repository/models/sleeper/load")) for _ in range(5)]
                await client.until(lambda: len(server._swapper._asked) == 6)
            assert await asyncio.gather(*loads) == [(200, {})] * 5
            assert len(swapped()) == 1

    talk(world, story)


def test_a_server_that_ends_begins_no_swap(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async def story(server: Server, client: Client) -> None:
        pids = server.pids
        await server.drain()
        world.workers = 2
        with logged(caplog, "swapped") as swapped:
            server.swap()
            await asyncio.sleep(0)
            assert not server._swapper._tasks
            assert (swapped(), server.pids) == ([], pids)

    talk(world, story)
