"""Whether two runs may be compared at all: what they must have in common, and what somebody may choose to compare."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from superserve_cli.core.nouns import NS_PER_MS
from superserve_cli.errors import BadOption, NotComparable, Unknown
from superserve_cli.reports.run import Run

MUST_AGREE: Final = ("trace", "slo", "late")
MAY_DIFFER: Final = ("policy", "profile", "subnets", "workers", "kind", "service", "hardware")
ONLY_NAMED: Final = ("seed", "versions")
"""What is said and forgiven: a seed is how one repeats a run, and versions are what a comparison in CI is about."""
UNKNOWN: Final = "unknown requests"
"""The trace of a server that answered whoever asked: not even equal to itself."""


class Other(NamedTuple):
    """Something besides the figures in which two runs differ."""

    what: str
    base: str
    head: str


def others(base: Run, head: Run) -> list[Other]:
    """In what else the runs differ: MUST_AGREE, MAY_DIFFER and ONLY_NAMED, in this order."""
    before, after = _identity(base.manifest), _identity(head.manifest)
    # a live server has no service rule, and other people's manifests may not tell the subnets
    for what in ("subnets", "service"):
        if not (before[what] and after[what]):
            before[what] = after[what] = ""
    plain = [Other(what, before[what], after[what]) for what in before if before[what] != after[what] or UNKNOWN in before[what]]
    # a simulated outcome comes from the profile, on whatever machine it is computed
    simulated = before["kind"] == after["kind"] == "simulated"
    hardware = [] if simulated else _differing("hardware", base, head)
    return [*plain, *hardware, *_differing("versions", base, head)]


def mixed(runs: Sequence[Run]) -> list[str]:
    """What the runs of one comparison should have in common and have not, a sentence each."""
    differing = [other.what for run in runs[1:] for other in others(runs[0], run) if other.what in MUST_AGREE]
    words = {"trace": "trace", "slo": "SLO", "late": "late rule"}
    return [f"these runs do not share one {words[what]}: their figures do not compare" for what in dict.fromkeys(differing)]


def _identity(manifest: Mapping[str, Any]) -> dict[str, str]:
    trace, profile = manifest.get("trace") or {}, manifest.get("profile") or {}
    return {
        "trace": str(trace.get("hash") or UNKNOWN),
        "slo": f"{(manifest.get('slo_ns') or 0) / NS_PER_MS} ms",
        "late": str(manifest.get("late")),
        "policy": str(manifest.get("policy")),
        "profile": str(profile.get("hash") or profile.get("name")),
        "subnets": ", ".join(profile.get("subnets") or ()),
        "workers": str(manifest.get("workers")),
        "kind": str(manifest.get("kind")),
        "service": str(manifest.get("service") or ""),
        "seed": str(manifest.get("seed")),
    }


def _differing(what: str, base: Run, head: Run) -> Iterator[Other]:
    """The parts of a manifest's mapping that both runs know and in which they differ, as one difference."""
    before, after = base.manifest.get(what) or {}, head.manifest.get(what) or {}
    names = [
        name for name in sorted(before.keys() & after.keys()) if None not in (before[name], after[name]) and before[name] != after[name]
    ]
    if names:
        yield Other(what, *(", ".join(f"{name} {values[name]}" for name in names) for values in (before, after)))


def allowances(names: Sequence[str]) -> frozenset[str]:
    """What `--allow-different` names; raises Unknown for what does not exist, BadOption for what may never differ."""
    words = [word.strip() for text in names for word in text.split(",") if word.strip()]
    for word in words:
        if word in MUST_AGREE:
            raise BadOption(f"runs of different {word} are not comparable", hint="replay both with the same trace, SLO and late rule")
        if word not in (*MAY_DIFFER, *ONLY_NAMED, "all"):
            raise Unknown("difference to allow", word, (*MAY_DIFFER, "all"))
    return frozenset(MAY_DIFFER if "all" in words else words)


def check(found: Sequence[Other], allowed: frozenset[str]) -> None:
    """Raise NotComparable for the first kind of difference that forbids a comparison, naming all of that kind."""
    if fatal := [other for other in found if other.what in MUST_AGREE]:
        raise NotComparable(f"the runs differ in {_told(fatal)}", hint="replay both with the same trace, SLO and late rule")
    if unasked := [other for other in found if other.what in MAY_DIFFER and other.what not in allowed]:
        names = ",".join(other.what for other in unasked)
        raise NotComparable(f"the runs differ in {_told(unasked)}", hint=f"if that is what you compare, add --allow-different {names}")


def _told(found: Sequence[Other]) -> str:
    return "; ".join(f"{other.what} ({shown(other.base)} / {shown(other.head)})" for other in found)


def shown(text: str) -> str:
    """Hashes and long lists, shortened for a message."""
    return text if len(text) <= 40 else f"{text[:12]}…" if " " not in text else f"{text[:39]}…"
