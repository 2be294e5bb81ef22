"""The model repository extension."""

from typing import Any, Final
from urllib.parse import quote

from superserve_cli.conformance import expect
from superserve_cli.conformance.case import Case, Check
from superserve_cli.conformance.cases.names import NOBODY
from superserve_cli.conformance.client import Client
from superserve_cli.conformance.target import Target

GROUP: Final = "repository"
EXTENSION: Final = "model_repository"
INDEX: Final = "/v2/repository/index"


def _index(body: object) -> Check:
    def check(client: Client, target: Target) -> None:
        entries = expect.listing(client.post(INDEX, body))
        found = [entry for entry in entries if isinstance(entry, dict) and entry.get("name") == target.name]
        expect.that(bool(found), f"an entry of {target.name}", entries)
        expect.that(isinstance(found[0].get("state"), str), 'a string "state"', found[0])

    return check


def load_unknown(client: Client, target: Target) -> None:
    """A model that the repository does not hold."""
    expect.refused(client.post(_path(NOBODY, "load"), {}))


def unload_and_load(client: Client, target: Target) -> None:
    """Gone, refused, and back."""
    expect.ok(client.post(_path(target.name, "unload"), {}))
    gone = client.get(f"{target.path}/ready")
    expect.ok(client.post(_path(target.name, "load"), {}))
    expect.that(gone.status >= 400, "an unloaded model that is not ready", gone)
    expect.ok(client.get(f"{target.path}/ready"))


def load_again(client: Client, target: Target) -> None:
    """A model that is loaded is loaded anew; the body may be empty."""
    expect.ok(client.post(_path(target.name, "load")))
    expect.ok(client.get(f"{target.path}/ready"))


def _path(name: str, verb: str) -> str:
    return f"/v2/repository/models/{quote(name, safe='')}/{verb}"


def _case(name: str, sentence: str, check: Check, **more: Any) -> Case:
    return Case(name, GROUP, sentence, check, extension=EXTENSION, **more)


CASES: Final = (
    _case("index", "POST v2/repository/index returns every model", _index({})),
    _case("index of an empty body", "every field of the index request is optional", _index(b"")),
    _case("index of the ready", '"ready": if true return only models ready for inferencing', _index({"ready": True})),
    _case("load of an unknown model", 'a failed load request has the body {"error": $string}', load_unknown),
    _case(
        "load again", "POST v2/repository/models/NAME/load reloads a model that is loaded; its body may be empty", load_again, disturbs=True
    ),
    _case("unload and load", "POST v2/repository/models/NAME/unload", unload_and_load, disturbs=True),
)
