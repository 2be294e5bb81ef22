"""The extensions that ride on a request's parameters."""

from typing import Any, Final

from superserve_cli.conformance import expect
from superserve_cli.conformance.case import Case, Check
from superserve_cli.conformance.cases.inference import must_have_json
from superserve_cli.conformance.client import Client
from superserve_cli.conformance.target import Target

GROUP: Final = "schedule"
EXTENSION: Final = "schedule_policy"
PRIORITY: Final = '"priority": 0 for the default level, 1 for the highest'
TIMEOUT: Final = '"timeout": the timeout value for the request, in microseconds'
PLENTY_US: Final = 60_000_000


def _served(**parameters: Any) -> Check:
    def check(client: Client, target: Target) -> None:
        must_have_json(target)
        expect.outputs(client.post(target.infer, target.request(parameters=parameters)))

    return check


def _refused(**parameters: Any) -> Check:
    def check(client: Client, target: Target) -> None:
        expect.refused(client.post(target.infer, target.request(parameters=parameters)))

    return check


def hopeless(client: Client, target: Target) -> None:
    """A microsecond: served all the same, or refused in the one shape of errors."""
    answer = client.post(target.infer, target.request(parameters={"timeout": 1}))
    if answer.status != 200:
        expect.that(answer.status in (400, 408, 429, 503, 504), "status 200, 400, 408, 429, 503 or 504", answer)
        expect.error_body(answer)


def _case(name: str, sentence: str, check: Check, required: bool = True) -> Case:
    return Case(name, GROUP, sentence, check, required, EXTENSION)


CASES: Final = (
    _case("a generous timeout", TIMEOUT, _served(timeout=PLENTY_US)),
    _case("a hopeless timeout", TIMEOUT, hopeless),
    _case("a timeout that is text", TIMEOUT, _refused(timeout="soon"), required=False),
    _case("a negative timeout", TIMEOUT, _refused(timeout=-1), required=False),
    _case("the default priority", PRIORITY, _served(priority=0)),
    _case("the highest priority", PRIORITY, _served(priority=1)),
    _case("a low priority", PRIORITY, _served(priority=2), required=False),
    _case("priority and timeout", PRIORITY, _served(priority=1, timeout=PLENTY_US)),
    _case("a priority that is text", PRIORITY, _refused(priority="high"), required=False),
)
