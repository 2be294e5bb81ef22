from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from superserve_cli.core.outcomes import Outcomes
from superserve_cli.errors import BadOption

SCHEMA: Final = "run/1"
DISTINGUISHING: Final = ("kind", "seed", "late", "service", "workers", "load")
"""What may tell two runs of one policy apart, the likeliest first."""


@dataclass(frozen=True)
class Run:
    """What became of every request, and the manifest that says what was run."""

    outcomes: Outcomes
    manifest: Mapping[str, Any]

    @property
    def policy(self) -> str:
        """The policy's name, or that the server did not tell."""
        return str(self.manifest.get("policy") or "unknown")


def folder_name(policy: str) -> str:
    """The folder of a policy's run inside a comparison: no colons, no slashes."""
    return policy.replace(":", "-").replace("/", "-")


def refuse_shared_folders(policies: Sequence[str]) -> None:
    """Refuse policies of which one's run would be written over another's; raises BadOption."""
    for i, policy in enumerate(policies):
        if shared := [other for other in policies[:i] if folder_name(other) == folder_name(policy)]:
            raise BadOption(f"{shared[0]} and {policy} would share the folder {folder_name(policy)}", hint="replay them one by one")


def labels(runs: Sequence[Run]) -> list[str]:
    """A name for each run: its policy, and where that names several runs, whatever tells them apart."""
    names = [run.policy for run in runs]
    for key in DISTINGUISHING:
        values = [run.manifest.get(key) for run in runs]
        if not (shared := _repeated(names)):
            break
        for name in shared:
            among = [i for i, n in enumerate(names) if n == name]
            if len({str(values[i]) for i in among}) > 1:
                for i in among:
                    names[i] = f"{name} {_value(key, values[i])}"
    return _numbered(names)


def _value(key: str, value: object) -> str:
    return str(value) if key in ("kind", "late", "service") else f"{key} {value}"


def _repeated(names: Sequence[str]) -> list[str]:
    return [name for name, times in Counter(names).items() if times > 1]


def _numbered(names: Sequence[str]) -> list[str]:
    repeated = set(_repeated(names))
    return [f"{name} #{names[: i + 1].count(name)}" if name in repeated else name for i, name in enumerate(names)]
