"""The statistics and the model configuration extensions."""

from typing import Any, Final

from superserve_cli.conformance import expect
from superserve_cli.conformance.case import Case
from superserve_cli.conformance.cases.binary import binary, post
from superserve_cli.conformance.cases.names import NOBODY, version
from superserve_cli.conformance.client import Client
from superserve_cli.conformance.samples import NO_JSON
from superserve_cli.conformance.target import Target

GROUP: Final = "statistics"
CONFIGURATION: Final = "config"
STATISTICS: Final = "statistics"
MODEL_CONFIGURATION: Final = "model_configuration"
DURATIONS: Final = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output")


def of_model(client: Client, target: Target) -> None:
    """Counts and durations of the model."""
    entry = _entry(client, target, f"{target.path}/stats")
    for name in ("inference_count", "execution_count", "last_inference"):
        expect.that(type(entry.get(name)) is int, f'an integer "{name}"', entry.get(name))
    durations = entry.get("inference_stats", {})
    for name in DURATIONS:
        said = durations.get(name, {})
        expect.that(type(said.get("count")) is int and type(said.get("ns")) is int, f'"{name}" with count and ns', said)


def of_batches(client: Client, target: Target) -> None:
    """Durations per batch size."""
    for said in _entry(client, target, f"{target.path}/stats").get("batch_stats", []):
        expect.that(type(said.get("batch_size")) is int, 'an integer "batch_size"', said)
        for name in ("compute_input", "compute_infer", "compute_output"):
            expect.that({"count", "ns"} <= said.get(name, {}).keys(), f'"{name}" with count and ns', said)


def of_all(client: Client, target: Target) -> None:
    """The model is among all models."""
    _entry(client, target, "/v2/models/stats")


def of_version(client: Client, target: Target) -> None:
    """One version's own."""
    _entry(client, target, f"{target.path}/versions/{version(target)}/stats")


def counts(client: Client, target: Target) -> None:
    """An inference more is counted."""
    before = _inferences(client, target)
    if any(tensor["datatype"] in NO_JSON for tensor in (*target.inputs, *target.outputs)):
        expect.ok(post(client, target, *binary(target, parameters={"binary_data_output": True})))
    else:
        expect.ok(client.post(target.infer, target.request()))
    after = _inferences(client, target)
    expect.that(after > before, f"more than {before} inferences", after)


def of_unknown(client: Client, target: Target) -> None:
    """Of a model that does not exist."""
    expect.refused(client.get(f"/v2/models/{NOBODY}/stats"))


def _inferences(client: Client, target: Target) -> int:
    said = expect.document(client.get(f"{target.path}/stats")).get("model_stats", [])
    return sum(int(entry.get("inference_count", 0)) for entry in said)


def _entry(client: Client, target: Target, path: str) -> dict[str, Any]:
    said = expect.document(client.get(path))
    entries = [entry for entry in said.get("model_stats", []) if entry.get("name") == target.name]
    expect.that(bool(entries), f'"model_stats" with an entry of {target.name}', said)
    return dict(entries[0])


def configuration(client: Client, target: Target) -> None:
    """Name, largest batch, inputs and outputs of the model."""
    said = expect.document(client.get(f"{target.path}/config"))
    expect.that(said.get("name") == target.name, f'"name": "{target.name}"', said.get("name"))
    expect.that(type(said.get("max_batch_size")) is int, 'an integer "max_batch_size"', said.get("max_batch_size"))
    for key, told in (("input", target.inputs), ("output", target.outputs)):
        names = [tensor.get("name") for tensor in said.get(key, [])]
        expect.that(names == [tensor["name"] for tensor in told], f'"{key}" named {[t["name"] for t in told]}', names)
        types = [str(tensor.get("data_type")) for tensor in said.get(key, [])]
        expect.that(all(name.startswith("TYPE_") for name in types), f'"{key}" with "data_type": "TYPE_..."', types)


def configuration_of_version(client: Client, target: Target) -> None:
    """One version's own."""
    said = expect.document(client.get(f"{target.path}/versions/{version(target)}/config"))
    expect.that(said.get("name") == target.name, f'"name": "{target.name}"', said.get("name"))


def configuration_of_unknown(client: Client, target: Target) -> None:
    """Of a model that does not exist."""
    expect.refused(client.get(f"/v2/models/{NOBODY}/config"))


ERROR: Final = 'a failed request has an error status and the body {"error": $string}'
CASES: Final = (
    Case("statistics of the model", GROUP, "$stats_model_response: counts and durations", of_model, extension=STATISTICS),
    Case("statistics of batches", GROUP, '"batch_stats": durations per batch size', of_batches, extension=STATISTICS),
    Case("statistics of all models", GROUP, "GET v2/models/stats returns those of all models", of_all, extension=STATISTICS),
    Case("statistics of a version", GROUP, "GET v2/models/NAME/versions/VERSION/stats", of_version, extension=STATISTICS),
    Case(
        "an inference is counted", GROUP, '"inference_count": the cumulative count of successful inferences', counts, extension=STATISTICS
    ),
    Case("statistics of an unknown model", GROUP, ERROR, of_unknown, extension=STATISTICS),
    Case(
        "configuration", CONFIGURATION, "GET v2/models/NAME/config: the model's configuration", configuration, extension=MODEL_CONFIGURATION
    ),
    Case(
        "configuration of a version",
        CONFIGURATION,
        "GET v2/models/NAME/versions/VERSION/config",
        configuration_of_version,
        extension=MODEL_CONFIGURATION,
    ),
    Case("configuration of an unknown model", CONFIGURATION, ERROR, configuration_of_unknown, extension=MODEL_CONFIGURATION),
)
