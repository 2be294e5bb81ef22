from typing import Final

from superserve_cli.engine import steps
from superserve_cli.errors import BadOption, Unknown
from superserve_cli.profiles import Profile

SERVICE: Final = ("fixed", "measured")
MOST_WORKERS: Final = 32_767


def check(profile: Profile, workers: int, slo_ns: int, late: str, service: str) -> None:
    """Refuse what cannot be simulated; raises BadOption or Unknown."""
    if not 1 <= workers <= MOST_WORKERS:
        raise BadOption(f"{workers} workers", hint=f"between 1 and {MOST_WORKERS} can be simulated")
    if slo_ns <= 0:
        raise BadOption(f"an SLO of {slo_ns} ns", hint="it must be positive")
    if late not in steps.LATE_RULES:
        raise Unknown("late rule", late, steps.LATE_RULES)
    if service not in SERVICE:
        raise Unknown("service rule", service, SERVICE)
    if service == "measured" and profile.quantiles_ns is None:
        raise BadOption("the profile has no quantiles to draw service times from", hint="use --service fixed, or measure a profile")
