"""The user's own policies, `FILE.py:NAME`, whose mistakes are told as the user's."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from superserve_cli.core.nouns import Choice, Choose
from superserve_cli.errors import BadFile, BadOption, Unknown
from superserve_cli.policies.policy import Build, Control, Policy, Seen
from superserve_cli.profiles.profile import Profile

MakeControl = Callable[[Profile, int, int], Control]


def from_file(spec: str) -> Policy:
    """The policy `FILE.py:NAME`; raises BadFile or Unknown."""
    file, _, name = spec.rpartition(":")
    path = Path(file)
    if not path.is_file():
        raise BadFile(
            f"there is no {path}", hint="--policy FILE.py:NAME takes a function NAME(profile, workers) -> choose(slack_ns, depth)"
        )
    described = spec_from_file_location(f"superserve_policy_{path.stem}", path)
    if described is None or described.loader is None:
        raise BadFile(f"{path} is not a Python file", hint="--policy FILE.py:NAME takes a function from a Python file")
    module = module_from_spec(described)
    with _theirs(f"{path} cannot be imported", hint="mend the file"):
        described.loader.exec_module(module)
    build = getattr(module, name, None)
    if not callable(build):
        known = [n for n, value in vars(module).items() if callable(value) and not n.startswith("_")]
        raise Unknown(f"function in {path} named", name, known)
    control = getattr(build, "control", None)
    return Policy(
        f"{path.name}:{name}",
        _guarded(spec, build),
        grid=has_grid(build),
        control=None if control is None else _guarded_control(spec, control),
    )


def has_grid(build: Build) -> bool:
    """Whether a function says of itself that it computes with slack and depth: `NAME.grid = True`."""
    return getattr(build, "grid", False) is True


def _guarded(spec: str, build: Build) -> Build:
    """A user's own build function, whose mistakes are told as the user's."""

    def guarded(profile: Profile, workers: int) -> Choose:
        with _theirs(f"policy {spec} failed", hint="it is called with (profile, workers)"):
            choose = build(profile, workers)
        if not callable(choose):
            raise BadFile(f"policy {spec} returned {choose!r}", hint="return a function choose(slack_ns, depth) -> Choice or None")

        def guarded_choose(slack_ns: int, depth: int) -> Choice | None:
            # a TypeError passes: whoever compiles the policy knows that it computed with what it may only compare
            with _theirs(f"policy {spec} failed when it was asked", hint="choose(slack_ns, depth) returns Choice or None", but=TypeError):
                answer: Choice | None = choose(slack_ns, depth)
            return answer

        return guarded_choose

    return guarded


def _guarded_control(spec: str, make: MakeControl) -> MakeControl:
    """A user's own control, whose mistakes are told as the user's."""

    def guarded(profile: Profile, workers: int, slo_ns: int) -> Control:
        with _theirs(f"the control of policy {spec} failed", hint="it is called with (profile, workers, slo_ns)", but=BadOption):
            control = make(profile, workers, slo_ns)
        if not isinstance(control, Control):
            raise BadFile(f"the control of policy {spec} returned {control!r}", hint="return a Control (superserve_cli.policies)")
        modes = tuple(replace(mode, build=_guarded(spec, mode.build)) for mode in control.modes)
        return replace(control, modes=modes, tick=None if control.tick is None else partial(_ticked, spec, control, workers))

    return guarded


def _ticked(spec: str, control: Control, workers: int, seen: Seen) -> Sequence[int]:
    with _theirs(f"the control loop of policy {spec} failed", hint="it is called with what was Seen"):
        modes = list(control.tick(seen) if control.tick else ())
    if len(modes) != workers or any(mode not in range(len(control.modes)) for mode in modes):
        hint = f"return a mode, from 0 to {len(control.modes) - 1}, for each of {workers} workers"
        raise BadFile(f"the control loop of policy {spec} returned {modes}", hint=hint)
    return modes


@contextmanager
def _theirs(what: str, hint: str, but: type[Exception] | tuple[()] = ()) -> Iterator[None]:
    """The user's own code runs: what it raises is the user's to mend, and what it prints is not our data."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except but:
        raise
    except (Exception, SystemExit) as error:
        raise BadFile(f"{what}: {type(error).__name__}: {error}", hint=hint) from error
