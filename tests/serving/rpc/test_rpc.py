"""A real gRPC client against a server whose workers sleep in virtual time."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest

from superserve_cli.errors import Unreachable
from superserve_cli.serving.desk import Desk
from superserve_cli.serving.metrics import Metrics
from superserve_cli.serving.rpc.codec import read_parameters
from superserve_cli.serving.rpc.health import HEALTH, NOT_SERVING, SERVICES, SERVING, HealthCheckRequest, HealthCheckResponse
from superserve_cli.serving.rpc.messages import METHODS, ModelInferRequest
from superserve_cli.serving.rpc.server import Rpc
from tests.serving.rpc.client import Client, question, talk

World = Callable[..., Any]


class Empty:
    """A world that has no model yet."""

    def __init__(self) -> None:
        self.desk = Desk(Metrics())


def asked(call: str, **fields: Any) -> Any:
    return METHODS[call].request(**fields)


def logits(answer: Any) -> list[list[float]]:
    (output,), (raw,) = answer.outputs, answer.raw_output_contents
    rows: list[list[float]] = np.frombuffer(raw, "<f4").reshape(list(output.shape)).tolist()
    return rows


def health(client: Client, service: str = "") -> Any:
    check = client.channel.unary_unary(f"/{HEALTH}/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString)
    return check(HealthCheckRequest(service=service))


async def status(call: Any) -> tuple[str, str]:
    """How a call ends that gets no answer."""
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call
    return refusal.value.code().name, refusal.value.details() or ""


# what is no inference


def test_a_server_is_live_before_it_is_ready() -> None:
    async def conversation(client: Client) -> None:
        assert (await client.call("ServerLive")).live
        assert not (await client.call("ServerReady")).ready
        assert not (await client.call("ModelReady", asked("ModelReady", name="net"))).ready
        assert (await health(client)).status == NOT_SERVING
        code, why = await status(client.call("ModelInfer", question()))
        assert (code, why) == ("UNAVAILABLE", "the workers are still loading")

    talk(Empty(), conversation)


def test_health_is_that_of_the_workers(world: World) -> None:
    server = world()

    async def conversation(client: Client) -> None:
        for service in SERVICES:
            assert (await health(client, service)).status == SERVING
        assert (await client.call("ServerReady")).ready
        assert (await client.call("ModelReady", asked("ModelReady", name="net", version="small"))).ready
        server.links[0].die()
        assert (await health(client)).status == NOT_SERVING
        assert not (await client.call("ServerReady")).ready
        assert await status(health(client, "other")) == ("NOT_FOUND", "there is no service 'other'")

    talk(server, conversation)


def test_who_watches_health_hears_of_every_change_and_of_the_end(world: World) -> None:
    server = world()

    async def conversation(client: Client) -> None:
        watch = client.channel.unary_stream(f"/{HEALTH}/Watch", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString)
        heard = watch(HealthCheckRequest())
        assert (await heard.read()).status == SERVING
        server.links[0].die()
        assert (await heard.read()).status == NOT_SERVING
        server.links[0].revive()
        assert (await heard.read()).status == SERVING
        client.rpc.drain(10)
        assert (await heard.read()).status == NOT_SERVING
        assert await heard.read() is grpc.aio.EOF

    talk(server, conversation)


def test_server_and_model_describe_themselves(world: World) -> None:
    async def conversation(client: Client) -> None:
        server = await client.call("ServerMetadata")
        assert (server.name, "statistics" in server.extensions) == ("superserve", True)
        model = await client.call("ModelMetadata", asked("ModelMetadata", name="net"))
        assert (model.name, list(model.versions), model.properties["policy"]) == ("net", ["small", "large"], "max-accuracy")
        assert [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in model.inputs] == [("input", "FP32", [-1, 2, 2, 2])]
        config = (await client.call("ModelConfig", asked("ModelConfig", name="net"))).config
        assert (config.name, config.max_batch_size, list(config.input[0].dims)) == ("net", 4, [2, 2, 2])
        index = await client.call("RepositoryIndex")
        assert [(model.name, model.version, model.state) for model in index.models] == [
            ("net", "small", "READY"),
            ("net", "large", "READY"),
        ]

    talk(world(), conversation)


def test_statistics_count_what_was_answered(world: World) -> None:
    async def conversation(client: Client) -> None:
        await client.infer(question(rows=2))
        every = (await client.call("ModelStatistics")).model_stats
        (one,) = (await client.call("ModelStatistics", asked("ModelStatistics", name="net", version="large"))).model_stats
        assert [model.version for model in every] == ["small", "large"]
        assert (one.inference_count, one.execution_count, one.inference_stats.success.count) == (2, 1, 1)

    talk(world(), conversation)


def test_a_model_that_is_unloaded_says_so_until_it_is_loaded(world: World) -> None:
    async def conversation(client: Client) -> None:
        await client.call("RepositoryModelUnload", asked("RepositoryModelUnload", model_name="net"))
        assert (await client.call("RepositoryIndex")).models[0].state == "UNAVAILABLE"
        assert not (await client.call("RepositoryIndex", asked("RepositoryIndex", ready=True))).models
        assert (await status(client.call("ModelInfer", question())))[0] == "UNAVAILABLE"
        await client.call("RepositoryModelLoad", asked("RepositoryModelLoad", model_name="net"))
        assert logits(await client.infer(question())) == [[8.0] * 10]
        assert (await status(client.call("RepositoryModelLoad", asked("RepositoryModelLoad", model_name="no"))))[0] == "NOT_FOUND"

    talk(world(), conversation)


@pytest.mark.parametrize("name", ["CudaSharedMemoryRegister", "TraceSetting"])
def test_what_this_server_does_not_have_is_unimplemented(world: World, name: str) -> None:
    async def conversation(client: Client) -> None:
        code, why = await status(client.call(name))
        assert (code, bool(why)) == ("UNIMPLEMENTED", True)

    talk(world(), conversation)


def test_clients_that_let_go_of_cuda_shared_memory_first_are_not_stopped(world: World) -> None:
    async def conversation(client: Client) -> None:
        await client.call("CudaSharedMemoryUnregister")
        assert not (await client.call("CudaSharedMemoryStatus")).regions

    talk(world(), conversation)


def test_log_settings_can_be_read_and_a_wrong_one_is_refused(world: World) -> None:
    async def conversation(client: Client) -> None:
        assert (await client.call("LogSettings")).settings["log_error"].bool_param
        wrong = asked("LogSettings")
        wrong.settings["log_colour"].bool_param = True
        assert (await status(client.call("LogSettings", wrong)))[0] == "INVALID_ARGUMENT"

    talk(world(), conversation)


# inference


def test_an_answer_says_how_it_came_about(world: World) -> None:
    async def conversation(client: Client) -> None:
        request = question(rows=2, timeout=20_000, min_accuracy="0.85")
        request.id = "seven"
        answer = await client.infer(request)
        assert (answer.model_name, answer.model_version, answer.id) == ("net", "large", "seven")
        assert logits(answer) == [[8.0] * 10] * 2
        said = {"subnet": "large", "accuracy": 0.9, "batch_size": 2, "queue_us": 0, "compute_us": 8000, "slo_met": True}
        assert read_parameters(answer.parameters) == said
        kinds = {name: choice.WhichOneof("parameter_choice") for name, choice in answer.parameters.items()}
        assert kinds == {
            "subnet": "string_param",
            "accuracy": "double_param",
            "batch_size": "int64_param",
            "queue_us": "int64_param",
            "compute_us": "int64_param",
            "slo_met": "bool_param",
        }

    talk(world(), conversation)


def test_a_request_of_numbers_gets_an_answer_of_numbers(world: World) -> None:
    async def conversation(client: Client) -> None:
        request = ModelInferRequest(model_name="net")
        request.inputs.add(name="input", datatype="FP32", shape=[1, 2, 2, 2]).contents.fp32_contents.extend([1.0] * 8)
        answer = await client.infer(request)
        assert list(answer.outputs[0].contents.fp32_contents) == [8.0] * 10
        assert not answer.raw_output_contents

    talk(world(), conversation)


def test_parameters_and_metadata_say_the_objectives(world: World) -> None:
    async def conversation(client: Client) -> None:
        assert (await client.infer(question(slo_us=3000))).model_version == "small"
        assert (await client.infer(question(), metadata=(("x-superserve-slo-us", "3000"),))).model_version == "small"
        assert (await client.infer(question(subnet="small"))).model_version == "small"
        pinned = question()
        pinned.model_version = "small"
        assert (await client.infer(pinned)).model_version == "small"
        pressing = question(priority=1)
        pressing.parameters["timeout"].uint64_param = 3000
        assert (await client.infer(pressing)).model_version == "small"

    talk(world(), conversation)


def test_nobody_is_given_longer_than_their_grpc_deadline(world: World) -> None:
    server = world()

    async def conversation(client: Client) -> None:
        await client.infer(question(slo_us=3_600_000_000), timeout=60)
        await client.infer(question(slo_us=1_000_000), timeout=60)

    talk(server, conversation)
    ended = server.ledger.outcomes(0)
    hour, second = (ended.deadline_ns - ended.arrival_ns).tolist()
    assert 30e9 < hour <= 61e9  # the wire rounds it up a little
    assert second == 1e9


def test_refusals_have_their_codes_and_busy_ones_say_when_to_come_again(world: World) -> None:
    server = world(max_queue=1)

    async def conversation(client: Client) -> None:
        assert (await client.refused(question(timeout=1))).code().name == "DEADLINE_EXCEEDED"
        assert (await client.refused(question(rows=5))).code().name == "INVALID_ARGUMENT"
        assert (await client.refused(question(model="other"))).code().name == "NOT_FOUND"
        malformed = client.channel.unary_unary(METHODS["ModelInfer"].path)(b"\xff\xff")
        assert (await status(malformed))[0] == "INVALID_ARGUMENT"
        running, waiting = client.call("ModelInfer", question()), client.call("ModelInfer", question())
        await client.until(lambda: server.router.pending == 2)
        with pytest.raises(grpc.aio.AioRpcError) as busy:
            await client.call("ModelInfer", question())
        assert busy.value.code().name == "UNAVAILABLE"
        assert dict(busy.value.trailing_metadata()) == {"retry-after": "1", "grpc-retry-pushback-ms": "1000"}
        server.advance(100)
        assert len(logits(await running) + logits(await waiting)) == 2

    talk(server, conversation)


def test_outputs_and_inputs_may_lie_in_shared_memory(world: World, region: Path) -> None:
    async def conversation(client: Client) -> None:
        register = asked("SystemSharedMemoryRegister", name="both", key=f"/{region.name}", byte_size=128)
        await client.call("SystemSharedMemoryRegister", register)
        regions = (await client.call("SystemSharedMemoryStatus")).regions
        assert (regions["both"].key, regions["both"].byte_size) == (f"/{region.name}", 128)
        request = question()
        del request.raw_input_contents[:]
        for at, tensor, size in ((0, request.inputs[0], 32), (64, request.outputs.add(name="logits"), 64)):
            tensor.parameters["shared_memory_region"].string_param = "both"
            tensor.parameters["shared_memory_byte_size"].int64_param = size
            tensor.parameters["shared_memory_offset"].int64_param = at
        answer = await client.infer(request)
        assert list(answer.raw_output_contents) == [b""]
        assert read_parameters(answer.outputs[0].parameters)["shared_memory_byte_size"] == 40
        assert np.frombuffer(region.read_bytes()[64:104], "<f4").tolist() == [8.0] * 10
        await client.call("SystemSharedMemoryUnregister", asked("SystemSharedMemoryUnregister", name="both"))
        assert (await client.refused(request)).code().name == "NOT_FOUND"

    talk(world(), conversation)


@pytest.fixture
def region() -> Iterator[Path]:
    path = Path("/dev/shm") / f"rpc_test_{id(object())}"
    path.write_bytes(np.ones(8, np.float32).tobytes() + bytes(96))
    yield path
    path.unlink()


# who goes before the answer


@pytest.mark.parametrize("how", ["cancels", "hangs up", "has a deadline"])
def test_a_client_that_goes_frees_its_place_in_the_queue(world: World, how: str) -> None:
    server = world()

    async def conversation(client: Client) -> None:
        running = client.call("ModelInfer", question(slo_us=10**9))
        await client.until(lambda: server.router.pending == 1)
        waiting = client.call("ModelInfer", question(slo_us=10**9), timeout=1.0 if how == "has a deadline" else None)
        await client.until(lambda: server.engine.depth == 1)
        if how == "cancels":
            waiting.cancel()
        elif how == "hangs up":
            await client.channel.close()
        await client.until(lambda: server.engine.depth == 0)
        if how != "hangs up":
            server.advance(100)
            await running
        assert server.statuses().count("failed") == 1

    talk(server, conversation)


# streams


def test_a_stream_has_many_requests_at_a_time_and_answers_when_they_are_ready(world: World) -> None:
    server = world(policy="infaas")

    async def conversation(client: Client) -> None:
        stream = client.call("ModelStreamInfer")
        for number, slo_us in enumerate((10**9, 9 * 10**8, 8 * 10**8)):
            request = question(rows=4, value=number, slo_us=slo_us)
            request.id = str(number)
            await stream.write(request)
        await stream.done_writing()
        await client.until(lambda: server.router.pending == 3)
        server.advance(100)
        ids = [(await stream.read()).infer_response.id for _ in range(3)]
        assert ids == ["0", "2", "1"]
        assert await stream.read() is grpc.aio.EOF
        assert await stream.code() == grpc.StatusCode.OK

    talk(server, conversation)


def test_errors_in_a_stream_are_messages_and_the_stream_goes_on(world: World) -> None:
    server = world()

    async def conversation(client: Client) -> None:
        stream = client.channel.stream_stream(METHODS["ModelStreamInfer"].path, None, METHODS["ModelStreamInfer"].response.FromString)()
        missing = question(model="other")
        missing.id = "1"
        await stream.write(missing.SerializeToString())
        first = await stream.read()
        assert ("there is no model" in first.error_message, first.infer_response.id) == (True, "1")
        await stream.write(b"\xff\xff")
        assert "not a inference" in (await stream.read()).error_message
        await stream.write(question(timeout=1).SerializeToString())
        assert "deadline" in (await stream.read()).error_message
        await stream.write(question(triton_enable_empty_final_response=True).SerializeToString())
        await client.until(lambda: server.router.pending == 1)
        server.advance(100)
        answer = (await stream.read()).infer_response
        assert logits(answer) == [[8.0] * 10]
        assert answer.parameters["triton_final_response"].bool_param
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF

    talk(server, conversation)


def test_our_own_bug_ends_a_stream_instead_of_leaving_it_waiting(world: World) -> None:
    server = world()
    server.model.objectives = None

    async def conversation(client: Client) -> None:
        stream = client.call("ModelStreamInfer")
        await stream.write(question())
        assert (await status(stream.read()))[0] == "UNKNOWN"

    talk(server, conversation)


def test_a_stream_that_is_cancelled_frees_all_its_places(world: World) -> None:
    server = world()

    async def conversation(client: Client) -> None:
        stream = client.call("ModelStreamInfer")
        for _ in range(5):
            await stream.write(question(slo_us=10**9))
        await client.until(lambda: server.router.pending == 5)
        stream.cancel()
        await client.until(lambda: server.engine.depth == 0)
        server.advance(100)
        assert server.router.pending == 0

    talk(server, conversation)


def test_a_client_that_does_not_read_is_not_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("superserve_cli.serving.rpc.infer.MOST_STREAMED", 3)
    server = world()

    async def conversation(client: Client) -> None:
        stream = client.call("ModelStreamInfer")
        for _ in range(8):
            await stream.write(question(slo_us=10**9))
        await client.until(lambda: server.router.pending == 3)
        answered = 0
        while answered < 8:
            server.advance(1)
            if server.router.pending == 0:
                await client.until(lambda: server.router.pending > 0 or len(server.ledger) == 8)
            assert server.router.pending <= 3
            if len(server.ledger) > answered:
                await stream.read()
                answered += 1
        stream.cancel()

    talk(server, conversation)


# limits, keys, ports, and the end


def test_a_request_that_is_too_long_is_refused(world: World) -> None:
    async def conversation(client: Client) -> None:
        client.world.desk.most_body_bytes = 100
        refusal = await client.refused(question(rows=4))
        assert (await client.refused(question(rows=40_000))).code().name == "RESOURCE_EXHAUSTED"
        assert (refusal.code().name, "at most 100 bytes" in (refusal.details() or "")) == ("RESOURCE_EXHAUSTED", True)

    server = world()
    server.desk.most_body_bytes = 1_000_000
    talk(server, conversation)


def test_without_a_key_health_alone_is_answered(world: World) -> None:
    async def conversation(client: Client) -> None:
        assert (await client.call("ServerLive")).live
        assert (await client.call("ServerReady")).ready
        assert (await health(client)).status == SERVING
        assert (await status(client.call("ServerMetadata")))[0] == "UNAUTHENTICATED"
        assert (await client.refused(question())).code().name == "UNAUTHENTICATED"
        stream = client.call("ModelStreamInfer")
        assert (await status(stream.read()))[0] == "UNAUTHENTICATED"
        wrong = (("authorization", "Bearer no"),)
        assert (await client.refused(question(), metadata=wrong)).code().name == "UNAUTHENTICATED"
        twice = (("authorization", "Bearer yes"), ("authorization", "Bearer no"))
        assert (await client.refused(question(), metadata=twice)).code().name == "UNAUTHENTICATED"
        right = (("authorization", "Bearer yes"),)
        assert logits(await client.infer(question(), metadata=right)) == [[8.0] * 10]
        assert (await client.call("ServerMetadata", metadata=right)).name == "superserve"

    talk(world(), conversation, allowed=lambda said: said == b"Bearer yes")


def test_a_server_that_drains_answers_who_is_there_and_takes_no_more(world: World) -> None:
    server = world()

    async def conversation(client: Client) -> None:
        waiting, stream = client.call("ModelInfer", question(slo_us=10**9)), client.call("ModelStreamInfer")
        await client.until(lambda: server.router.pending == 1)
        await stream.write(question(slo_us=10**9))
        await client.until(lambda: server.router.pending == 2)
        client.rpc.drain(10)
        server.advance(100)
        assert logits(await waiting) == logits((await stream.read()).infer_response)
        assert await status(stream.read()) == ("UNAVAILABLE", "the server is shutting down")
        await client.rpc.drained(10)
        assert (await status(client.call("ServerLive")))[0] == "UNAVAILABLE"

    talk(server, conversation)


def test_who_keeps_a_server_that_drains_is_cut_off(world: World) -> None:
    server = world()

    async def conversation(client: Client) -> None:
        waiting = asyncio.ensure_future(status(client.call("ModelInfer", question(slo_us=10**9))))
        await client.until(lambda: server.router.pending == 1)
        client.rpc.drain(10)
        await client.rpc.stop()
        assert (await waiting)[0] in ("UNAVAILABLE", "CANCELLED")

    talk(server, conversation)


def test_a_port_in_use_is_an_error_that_says_so() -> None:
    async def listen(port: int) -> None:
        rpc = Rpc(Desk(Metrics()), most_connections=10, most_calls=10)
        try:
            await rpc.listen("127.0.0.1", port)
        finally:
            await rpc.stop()

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unreachable, match=f"cannot listen on 127.0.0.1:{port} for gRPC: it is in use"):
            asyncio.run(listen(port))
