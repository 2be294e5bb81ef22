"""The table: every case, in the order in which they are tried."""

from typing import Final

from superserve_cli.conformance.case import Case
from superserve_cli.conformance.cases.binary import CASES as BINARY
from superserve_cli.conformance.cases.compression import CASES as COMPRESSION
from superserve_cli.conformance.cases.grpc import CASES as GRPC
from superserve_cli.conformance.cases.health import CASES as HEALTH
from superserve_cli.conformance.cases.inference import CASES as INFERENCE
from superserve_cli.conformance.cases.limits import CASES as LIMITS
from superserve_cli.conformance.cases.memory import CASES as MEMORY
from superserve_cli.conformance.cases.metadata import CASES as METADATA
from superserve_cli.conformance.cases.refusals import CASES as REFUSALS
from superserve_cli.conformance.cases.repository import CASES as REPOSITORY
from superserve_cli.conformance.cases.schedule import CASES as SCHEDULE
from superserve_cli.conformance.cases.shapes import CASES as SHAPES
from superserve_cli.conformance.cases.statistics import CASES as STATISTICS

HTTP: Final[tuple[Case, ...]] = (
    *HEALTH,
    *METADATA,
    *INFERENCE,
    *REFUSALS,
    *SHAPES,
    *BINARY,
    *COMPRESSION,
    *SCHEDULE,
    *STATISTICS,
    *REPOSITORY,
    *MEMORY,
    *LIMITS,
)
"""What a `client.Client` asks. The limits come last: they are the likeliest to bring a server down."""
__all__ = ["GRPC", "HTTP"]
