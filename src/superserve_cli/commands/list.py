from enum import StrEnum
from typing import Annotated

import typer


class What(StrEnum):
    """What there are names for."""

    policies = "policies"
    traces = "traces"
    profiles = "profiles"
    families = "families"


def list(
    what: Annotated[What, typer.Argument(help="Which names to list.", metavar="policies|traces|profiles|families")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the names that other commands take: policies, traces, shipped profiles, SuperNet families."""
    from superserve_cli import console

    names = {What.policies: _policies, What.traces: _traces, What.profiles: _profiles, What.families: _families}[what]()
    if json:
        console.as_json(names)
    else:
        console.table("", (what.value, "what it is"), [(name, about) for name, about in names.items()], text=True)


def _policies() -> dict[str, str]:
    from superserve_cli import policies

    return policies.described()


def _traces() -> dict[str, str]:
    from superserve_cli import traces

    return dict(traces.NAMES)


def _profiles() -> dict[str, str]:
    from superserve_cli import profiles

    return {name: profiles.load(name).about for name in profiles.shipped()}


def _families() -> dict[str, str]:
    from superserve_cli import supernet

    return {name: (family.__doc__ or "").partition("\n")[0] for name, family in supernet.families().items()}
