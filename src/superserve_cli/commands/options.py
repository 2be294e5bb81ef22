"""Options that several commands have in the same words."""

from pathlib import Path
from typing import Annotated, Final

import typer

DEFAULT_WORKERS: Final = 8
LOAD: Final = "Offered rate / the rate that the median served subnet sustains at the largest batch on all workers [default: 0.9]."

ProfileOption = Annotated[
    str | None, typer.Option("--profile", help="A profile, Parquet or CSV, or a shipped one's name.", show_default="cpu")
]
SloOption = Annotated[
    float | None, typer.Option("--slo-ms", help="SLO of requests that have none.", show_default="1.2 x the slowest batch, at least 20 ms")
]
ServiceOption = Annotated[
    str | None,
    typer.Option(
        "--service", help="fixed: as planned; measured: drawn from the profile's quantiles.", show_default="measured if it has them"
    ),
]
SubnetsOption = Annotated[str | None, typer.Option("--subnets", help="all, or ID,ID,...", show_default="those that none dominates")]
PolicyOption = Annotated[list[str] | None, typer.Option("--policy", help="What decides; repeatable.", show_default="all of them")]
LateOption = Annotated[str, typer.Option("--late", help="What becomes of requests that no choice can meet: drop, shed, serve.")]
MixOption = Annotated[
    Path | None,
    typer.Option(
        "--mix",
        help="Kinds of requests: a CSV file with the columns share and any of tenant, slo_ms, min_accuracy, size.",
        show_default=False,
    ),
]
