"""What is checked: one model of one server, as the two describe themselves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from superserve_cli.conformance.client import Client
from superserve_cli.conformance.samples import DATATYPES, Sample, sample
from superserve_cli.conformance.verdict import Unmet
from superserve_cli.errors import BadOption, Unknown, Unreachable
from superserve_cli.serving.load.target import locked, silent

START: Final = "start a server, or check the URL"
NAME_ONE: Final = "name one with --model"


@dataclass(frozen=True, slots=True)
class Target:
    """A model, and what its server offers; `inputs` and `outputs` as in the model's metadata."""

    server: str
    extensions: frozenset[str]
    name: str
    versions: tuple[str, ...]
    inputs: tuple[dict[str, Any], ...]
    outputs: tuple[dict[str, Any], ...]

    @property
    def path(self) -> str:
        """Of the model's metadata."""
        return f"/v2/models/{quote(self.name, safe='')}"

    @property
    def infer(self) -> str:
        """Where inference is asked for."""
        return f"{self.path}/infer"

    @property
    def batches(self) -> bool:
        """Whether every input has a variable first dimension: how many rows there are is the client's to say."""
        return all(tensor["shape"] and tensor["shape"][0] < 0 for tensor in self.inputs)

    def samples(self, rows: int = 1) -> tuple[Sample, ...]:
        """Tensors that the model should take."""
        return tuple(sample(t["name"], t["datatype"], t["shape"], rows) for t in self.inputs)

    def request(self, rows: int = 1, **changes: Any) -> dict[str, Any]:
        """A request that the server should serve, its data in JSON."""
        return {"inputs": [tensor.as_json() for tensor in self.samples(rows)], **changes}

    def with_first(self, **changes: Any) -> dict[str, Any]:
        """The same with other fields in its first input; the value None leaves a field out."""
        first, *others = self.request()["inputs"]
        changed = {name: value for name, value in {**first, **changes}.items() if value is not None}
        return {"inputs": [changed, *others]}


def find(client: Client, model: str | None) -> Target:
    """The model of that name, or the only one that the server lists; raises Unreachable, Unknown and BadOption."""
    try:
        return _find(client, model)
    except OSError as error:
        raise silent(client.place, error) from None
    except Unmet as error:
        raise Unreachable(f"no server of HTTP answers at {client.place}: {error}", hint=START) from None


def _find(client: Client, model: str | None) -> Target:
    answer = client.get("/v2")
    if answer.status in (401, 403):
        raise locked(client.place, f"status {answer.status}")
    said = answer.json
    if answer.status != 200 or not isinstance(said, dict) or "name" not in said:
        raise Unreachable(f"the server at {client.place} does not speak the Open Inference Protocol v2 (GET /v2: {answer})", hint=START)
    listed = said.get("extensions")
    extensions = frozenset(map(str, listed)) if isinstance(listed, list) else frozenset()
    name = model or _only(client)
    metadata = _metadata(client, name)
    server = f"{said['name']} {said.get('version', '')}".strip()
    versions = tuple(map(str, said_versions)) if isinstance(said_versions := metadata.get("versions"), list) else ()
    return Target(server, extensions, name, versions, _tensors(metadata, name, "inputs"), _tensors(metadata, name, "outputs"))


def _only(client: Client) -> str:
    names = _names(client)
    if len(names) != 1:
        listed = f"serves several models: {', '.join(names)}" if names else "does not say which models it serves"
        raise BadOption(f"{client.place} {listed}", hint=NAME_ONE)
    return names[0]


def _names(client: Client) -> list[str]:
    """The names that a server lists: by the model repository extension, or as KServe does."""
    index = client.post("/v2/repository/index", {}).json
    if isinstance(index, list):
        return list(dict.fromkeys(str(entry["name"]) for entry in index if isinstance(entry, dict) and "name" in entry))
    said = client.get("/v2/models").json
    listed = said.get("models") if isinstance(said, dict) else None
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def _metadata(client: Client, name: str) -> dict[str, Any]:
    answer = client.get(f"/v2/models/{quote(name, safe='')}")
    if answer.status == 200 and isinstance(answer.json, dict):
        return answer.json
    if (names := _names(client)) and name not in names:
        raise Unknown(f"model at {client.place} named", name, names)
    raise Unreachable(f"{client.place} tells nothing of the model {name}: {answer}", hint=NAME_ONE)


def _tensors(metadata: dict[str, Any], name: str, key: str) -> tuple[dict[str, Any], ...]:
    tensors = metadata.get(key)
    if not isinstance(tensors, Sequence) or not tensors or not all(map(_described, tensors)):
        hint = "give the model metadata, or choose another with --model"
        raise Unreachable(f"the metadata of the model {name} do not describe its {key}: {tensors}", hint=hint)
    return tuple(tensors)


def _described(tensor: Any) -> bool:
    return (
        isinstance(tensor, dict)
        and isinstance(tensor.get("name"), str)
        and tensor.get("datatype") in DATATYPES
        and isinstance(tensor.get("shape"), list)
        and all(type(size) is int for size in tensor["shape"])
    )
