from typing import Annotated

import typer

from superserve_cli.errors import Unknown


def list(
    what: Annotated[str, typer.Argument(help="policies, traces, profiles or families.")],
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the names that other commands take: policies, traces, shipped profiles, SuperNet families."""
    from superserve_cli import console

    if what not in LISTS:
        raise Unknown("list of", what, LISTS)
    names = LISTS[what]()
    if json:
        console.as_json(names)
    else:
        console.table("", (what, "what it is"), [(name, about) for name, about in names.items()], text=True)


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


LISTS = {"policies": _policies, "traces": _traces, "profiles": _profiles, "families": _families}
