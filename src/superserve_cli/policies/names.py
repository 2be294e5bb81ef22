"""Policies by name: the built-in ones, those of other packages, tuned `FILE.json`, and the user's own `FILE.py:NAME`."""

from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import entry_points
from math import nan
from pathlib import Path
from typing import Final

from superserve_cli.core.nouns import Subnet, ms_to_ns
from superserve_cli.errors import BadOption, Unknown
from superserve_cli.policies import files, greedy, own
from superserve_cli.policies.peers.aimd import clipper_aimd
from superserve_cli.policies.peers.alpaserve import alpaserve
from superserve_cli.policies.peers.clockwork import clockwork
from superserve_cli.policies.peers.nexus import nexus
from superserve_cli.policies.peers.proteus import proteus
from superserve_cli.policies.peers.switching import switching
from superserve_cli.policies.policy import Build, Policy
from superserve_cli.policies.price import SCALE, price
from superserve_cli.profiles.profile import Profile

BUCKETS: Final = 8
FIXED_SHOWN: Final = 6
SWITCHING_MS: Final = 100.0
LONGEST_LOAD_MS: Final = 86_400_000.0
LARGEST_SCALE: Final = 1e9


def _slackfit(argument: str) -> Policy:
    buckets = int(argument) if argument.isascii() and argument.isdigit() else 0
    if argument and buckets < 1:
        raise BadOption(f"slackfit has no {argument!r} buckets", hint="write slackfit or slackfit:K with K >= 1")
    return Policy(f"slackfit:{buckets}" if argument else "slackfit", greedy.slackfit(buckets or BUCKETS))


def _fixed(argument: str) -> Policy:
    if not argument:
        raise BadOption("fixed needs a subnet", hint="write fixed:SUBNET; `superserve inspect PROFILE` lists them")
    return Policy(f"fixed:{argument}", greedy.largest_fitting, lambda profile: profile.only({argument}))


def _price(argument: str) -> Policy:
    scale = _number(argument) if argument else SCALE
    if not 0 < scale <= LARGEST_SCALE:
        raise BadOption(f"the price of worker time cannot be scaled by {argument!r}", hint=f"write price or price:K, as in price:{SCALE}")
    return Policy(f"price:{argument}" if argument else "price", price(scale), grid=True)


def _plain(name: str, build: Build) -> Callable[[str], Policy]:
    return lambda argument: Policy(name, build) if not argument else _refuse_argument(name, argument)


def _infaas(argument: str) -> Policy:
    floor = _number(argument) if argument else 0.0
    if not 0 <= floor <= 1:
        raise BadOption(f"infaas has no accuracy floor {argument!r}", hint="write infaas, or infaas:FLOOR with a floor in 0..1")
    return Policy(f"infaas:{argument}" if argument else "infaas", greedy.largest_fitting, greedy.cheapest_above(floor))


def _switching(argument: str) -> Policy:
    load_ms = _number(argument) if argument else SWITCHING_MS
    if not 0 <= load_ms <= LONGEST_LOAD_MS:
        raise BadOption(f"switching has no loading delay {argument!r}", hint="write switching, or switching:MS with MS >= 0")
    return switching(f"switching:{argument}" if argument else "switching", ms_to_ns(load_ms))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return nan


def _on_one_model(name: str, make: Callable[[str, Subnet], Policy]) -> Callable[[str], Policy]:
    return lambda argument: make(f"{name}:{argument}" if argument else name, argument)


def _plain_policy(name: str, make: Callable[[], Policy]) -> Callable[[str], Policy]:
    return lambda argument: make() if not argument else _refuse_argument(name, argument)


def _refuse_argument(name: str, argument: str) -> Policy:
    raise BadOption(f"policy {name} takes no argument, but got {argument!r}", hint=f"write {name}")


POLICIES: Final[dict[str, tuple[str, Callable[[str], Policy]]]] = {
    "slackfit": ("slackfit[:K]: K latency buckets (8), the largest batch of the one closest below the slack", _slackfit),
    "max-batch": ("the largest batch that the least accurate subnet can run, then the best subnet", _plain("max-batch", greedy.max_batch)),
    "max-accuracy": ("the most accurate subnet that fits, then its largest batch", _plain("max-accuracy", greedy.max_accuracy)),
    "price": (f"price[:K]: the batch worth most at a price of worker time that rises with the queue, times K ({SCALE})", _price),
    "infaas": ("infaas[:FLOOR]: always the least accurate subnet (that reaches FLOOR), in the largest batch that fits", _infaas),
    "fixed": ("fixed:SUBNET: always that subnet, in the largest batch that fits (Clipper+)", _fixed),
    "clipper-aimd": (
        "clipper-aimd[:SUBNET]: one subnet, full batches, larger after success, smaller after failure",
        _on_one_model("clipper-aimd", clipper_aimd),
    ),
    "clockwork": (
        "clockwork[:SUBNET]: one subnet, the batch that must start first, planned 10 ms ahead",
        _on_one_model("clockwork", clockwork),
    ),
    "proteus": ("a MILP gives each worker a subnet every 20 s; batches wait as long as they can", _plain_policy("proteus", proteus)),
    "nexus": ("nexus[:SUBNET]: one subnet and batch size; drops heads that would make the batch smaller", _on_one_model("nexus", nexus)),
    "alpaserve": (
        "alpaserve[:SUBNET]: one subnet; rejects at arrival what a simulated queue would not finish",
        _on_one_model("alpaserve", alpaserve),
    ),
    "switching": ("switching[:MS]: whole models chosen by arrival rate, which take MS (100) to load", _switching),
}
"""Name -> (what it does, its maker from the text behind the colon)."""

ALL: Final = (
    *("slackfit", "max-batch", "max-accuracy", "price", "infaas"),
    *("clipper-aimd", "clockwork", "proteus", "nexus", "alpaserve", "switching"),
)


def described() -> dict[str, str]:
    """Every name that `named` knows, and what it stands for."""
    others = {e.name: f"from the package {e.dist.name if e.dist else e.value}" for e in entry_points(group="superserve.policies")}
    return (
        {name: about for name, (about, _) in POLICIES.items()}
        | others
        | {
            "FILE.json": "a decision table that `superserve tune` made for one profile",
            "FILE.py:NAME": "your own: NAME(profile, workers) -> choose(slack_ns, depth)",
        }
    )


def named(spec: str) -> Policy:
    """The policy of a command-line name; raises Unknown, BadOption or BadFile."""
    if ".py:" in spec:
        return own.from_file(spec)
    if spec.endswith(".json"):
        return files.load(Path(spec))
    name, _, argument = spec.partition(":")
    if name in POLICIES:
        return _built_in(name, argument)
    for extension in entry_points(group="superserve.policies", name=name):
        build = extension.load()
        return Policy(spec, build, grid=own.has_grid(build))
    raise Unknown("policy", name, described())


@lru_cache(maxsize=64)
def _built_in(name: str, argument: str) -> Policy:
    """The same object each time, since its tables are remembered with it."""
    return POLICIES[name][1](argument)


def every(profile: Profile) -> list[Policy]:
    """All built-in policies, with `fixed` on up to six subnets spread over the front."""
    count = min(FIXED_SHOWN, len(profile.subnets))
    spread = {round(i * (len(profile.subnets) - 1) / max(1, count - 1)) for i in range(count)}
    return [*map(named, ALL), *(named(f"fixed:{profile.subnets[i]}") for i in sorted(spread))]
