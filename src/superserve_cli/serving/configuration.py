"""The model configuration extension: what a model takes, gives and does, in the words of `ModelConfig` (its JSON form)."""

from collections.abc import Mapping, Sequence
from typing import Any

from superserve_cli.core.nouns import NS_PER_US


def configuration(
    metadata: Mapping[str, Any], batch_sizes: Sequence[int], parameters: Mapping[str, Any], slo_ns: int, max_queue: int
) -> dict[str, Any]:
    """The configuration of a model from its metadata; shapes lose the dimension of the batch, as they must where `max_batch_size` > 0."""
    return {
        "name": metadata["name"],
        "platform": metadata["platform"],
        "backend": "superserve",
        "version_policy": {"all": {}},
        "max_batch_size": batch_sizes[-1],
        "input": [_tensor(tensor) for tensor in metadata["inputs"]],
        "output": [_tensor(tensor) for tensor in metadata["outputs"]],
        "instance_group": [_instances(metadata["name"], parameters)],
        "dynamic_batching": {
            "preferred_batch_size": list(batch_sizes),
            "max_queue_delay_microseconds": 0,
            "default_queue_policy": {
                "timeout_action": "REJECT",
                "default_timeout_microseconds": slo_ns // NS_PER_US,
                "allow_timeout_override": True,
                "max_queue_size": max_queue,
            },
        },
        "parameters": {name: {"string_value": _text(value)} for name, value in parameters.items() if not isinstance(value, dict | list)},
    }


def _tensor(tensor: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": tensor["name"], "data_type": type_name(tensor["datatype"]), "dims": list(tensor["shape"][1:])}


def type_name(datatype: str) -> str:
    """What a configuration calls a datatype."""
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"


def _instances(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    kind = "KIND_GPU" if str(parameters.get("device") or "").startswith("cuda") else "KIND_CPU"
    return {"name": name, "kind": kind, "count": parameters.get("workers", 1)}


def _text(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
