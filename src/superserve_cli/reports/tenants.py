"""How each tenant fared, in the same columns on the terminal, in Markdown and on the page."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from superserve_cli.reports import notation

COLUMNS: Final = ("tenant", "requests", "attainment", "accuracy", "utility", "rejected")
COMPARED: Final = ("policy", *COLUMNS)
NARROW: Final = ("policy", "tenant", "requests", "attain-\nment, %", "acc.\n%", "util.\n%", "rejec-\nted, %")
"""COMPARED for a terminal of 80 columns."""
Row = tuple[str, ...]


def worst(tenants: Mapping[str, Mapping[str, Any]], most: int) -> dict[str, Mapping[str, Any]]:
    """Those of the lowest attainment, the worst first."""
    return dict(sorted(tenants.items(), key=lambda item: (item[1]["attainment"], item[0]))[:most])


def rows(tenants: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """The rows of the table under COLUMNS."""
    return [
        (
            name or "(none)",
            notation.count(tenant["requests"]),
            *(notation.percent(tenant[figure]) for figure in ("attainment", "accuracy", "utility")),
            notation.count(tenant["rejected"]),
        )
        for name, tenant in tenants.items()
    ]


def compared(policies: Sequence[Mapping[str, Any]], most: int) -> list[Row]:
    """The rows of the table under COMPARED: of each policy the tenants that it serves worst."""
    return [(policy["policy"], *row) for policy in policies for row in rows(worst(policy.get("tenants", {}), most))]


def narrow(policies: Sequence[Mapping[str, Any]], most: int) -> list[Row]:
    """The rows of the table under NARROW."""
    return [
        (
            policy["policy"],
            name or "(none)",
            notation.short_count(tenant["requests"]),
            *(notation.percent(tenant[figure]).removesuffix(" %") for figure in ("attainment", "accuracy", "utility")),
            notation.percent(tenant["rejected"] / tenant["requests"], 1).removesuffix(" %"),
        )
        for policy in policies
        for name, tenant in worst(policy.get("tenants", {}), most).items()
    ]
