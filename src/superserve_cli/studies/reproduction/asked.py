"""What a reproduction is asked for, checked, every default filled in."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import superserve_cli
from superserve_cli import engine, profiles
from superserve_cli.errors import BadOption
from superserve_cli.profiles import Profile
from superserve_cli.studies.reproduction import experiments
from superserve_cli.studies.reproduction.experiments import AZURE, Experiment
from superserve_cli.traces.azure_csv import minute_counts

SECONDS: Final = 60.0
"""What the experiments' own durations are written for; another one scales them all."""
QUICK_SECONDS: Final = 3.0
SEEDS: Final = 3
PROFILES: Final = ("modelled", "modelled-flat", "cpu")
LATE: Final = ("shed", "drop", "serve")
SERVICES: Final = ("fixed", "measured")
SOURCES: Final = ("engine", "policies", "profiles", "traces", "studies/bounds*", "studies/taut*", "studies/utilisation*")
OWN_SOURCES: Final = ("work", "experiments")


@dataclass(frozen=True)
class Asked:
    """Which cells of the paper's experiments are wanted: every combination of these."""

    experiments: Sequence[Experiment]
    profiles: Sequence[str]
    late: Sequence[str]
    services: Sequence[str]
    seeds: int
    seconds: float
    azure: str = AZURE

    def settings(self) -> dict[str, Any]:
        """What a cell depends on beside its key: cells of other settings are of another study."""
        return {
            "seconds": self.seconds,
            "azure": AZURE if self.azure == AZURE else f"{crc32(Path(self.azure.partition(':')[2]).read_bytes()):08x}",
            "profiles": {name: str(loaded(name).metadata.get("hash"))[:12] for name in self.profiles},
            "sources": sources(),
        }

    def pairs(self) -> list[tuple[str, str]]:
        """Profiles and the service rules that can be simulated on them."""
        return [(p, s) for p in self.profiles for s in self.services if s == "fixed" or loaded(p).quantiles_ns is not None]

    def command(self) -> str:
        """The command that asks for this, without the names of files of this machine."""
        words = [
            "superserve reproduce",
            *(experiment.name for experiment in self.experiments if len(self.experiments) < len(experiments.ALL)),
        ]
        given = {"--profile": (self.profiles, PROFILES), "--late": (self.late, LATE), "--service": (self.services, SERVICES)}
        words += [f"{option} {value}" for option, (values, usual) in given.items() if tuple(values) != usual for value in values]
        words += [f"--seeds {self.seeds}"] if self.seeds != SEEDS else []
        words += [f"--duration {self.seconds:g}"] if self.seconds != SECONDS else []
        words += [] if self.azure == AZURE else ["--azure FILE"]
        return " ".join(words)


def ask(
    names: Sequence[str] = (),
    *,
    profile: Sequence[str] | None = None,
    late: Sequence[str] | None = None,
    seeds: int | None = None,
    duration_s: float | None = None,
    service: str | None = None,
    azure: Path | None = None,
    quick: bool = False,
) -> Asked:
    """What is asked for by name; what is not given is everything, or with `quick` little; raises SuperserveError for what is wrong."""
    seconds = duration_s if duration_s is not None else QUICK_SECONDS if quick else SECONDS
    if not 0 < seconds < float("inf"):
        raise BadOption(f"--duration is {seconds:g}; it must be a positive number", hint="give seconds, as in --duration 60")
    if azure is not None:
        minute_counts(azure)  # a file that cannot be read is refused before any work is done
    asked = Asked(
        experiments=experiments.named(names),
        profiles=_unique(profile or (PROFILES[:1] if quick else PROFILES)),
        late=_unique(late or (LATE[:1] if quick else LATE)),
        services=SERVICES if service is None else (service,),
        seeds=seeds or (1 if quick else SEEDS),
        seconds=seconds,
        azure=AZURE if azure is None else f"{AZURE}:{azure}",
    )
    for name in asked.profiles:
        for rule in asked.late:
            engine.check(loaded(name), workers=1, slo_ns=1, late=rule, service=service or "fixed")
    return asked


def _unique(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


@cache
def loaded(name: str) -> Profile:
    """The served subnets of a profile."""
    return profiles.load(name).served()


@cache
def sources() -> str:
    """A hash over the source of everything that decides what a cell holds."""
    root, own = Path(superserve_cli.__file__).parent, Path(__file__).parent
    found = [path for source in SOURCES for path in sorted(root.glob(source))] + [own / f"{name}.py" for name in OWN_SOURCES]
    files = [path for each in found for path in ([each] if each.is_file() else sorted(each.rglob("*.py")))]
    return f"{crc32(b''.join(path.read_bytes() for path in files)):08x}"
