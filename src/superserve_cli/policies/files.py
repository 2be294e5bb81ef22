"""Policy files (`policy/1`, JSON): a decision table that was made for one profile, and where it comes from."""

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from superserve_cli.core.files import read_json, write_text
from superserve_cli.core.nouns import Choice, Subnet
from superserve_cli.errors import BadFile
from superserve_cli.policies.policy import Policy
from superserve_cli.policies.restricted import index
from superserve_cli.policies.table import DROP, FAR_AWAY, LATER, LONG_AGO, DecisionTable
from superserve_cli.profiles.profile import Profile

SCHEMA: Final = "policy/1"
WHAT: Final = "a policy file of `superserve tune`"
HINT: Final = "write one with `superserve tune`"
WAIT: Final = "wait"
Cell = list[int] | str | None
"""[number of a subnet, batch size], WAIT, or None for no choice."""


def save(path: Path, table: DecisionTable, *, workers: int, slo_ns: int, provenance: Mapping[str, Any]) -> None:
    """Write a table of all served subnets of its profile, whole or not at all; a line of the file is a row of the table."""
    described = {
        "schema": SCHEMA,
        "profile": {key: table.profile.metadata.get(key) for key in ("name", "hash")},
        "subnets": list(table.profile.subnets),
        "accuracies": list(table.profile.accuracies),
        "batch_sizes": list(table.profile.batch_sizes),
        "workers": workers,
        "slo_ns": slo_ns,
        "provenance": dict(provenance),
        "slack_ns": list(table.slack_ns[1:]),
        "depth": list(table.depth),
    }
    rows = ",\n".join(json.dumps([_cell(table, at) for at in row]) for row in table.cells[1:])
    write_text(path, json.dumps(described, allow_nan=False)[:-1] + f', "cells": [\n{rows}\n]}}\n')


def read(path: Path) -> dict[str, Any]:
    """What a policy file says, checked; raises BadFile."""
    said = read_json(path, WHAT)
    if not isinstance(said, dict) or said.get("schema") != SCHEMA:
        holds = said.get("schema", "no schema") if isinstance(said, dict) else "no object"
        raise BadFile(f"{path} holds {holds}, not {SCHEMA}", hint=HINT)
    try:
        _check(said)
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(f"{path} is damaged: {_told(error)}", hint=HINT) from error
    return said


def load(path: Path) -> Policy:
    """The policy of a file, under the file's name; raises BadFile, here or when it is built for a profile that it was not made for."""
    said = read(path)

    def build(profile: Profile, workers: int) -> DecisionTable:
        _refuse_other(path, said, profile, workers)
        return _table(path, said, profile)

    return Policy(path.name, build)


def _cell(table: DecisionTable, at: int) -> Cell:
    if at in (DROP, LATER):
        return None if at == DROP else WAIT
    return [at // len(table.profile.batch_sizes), table.choice(at).batch_size]


def _check(said: Mapping[str, Any]) -> None:
    """Raises KeyError, TypeError or ValueError where a file is not what `save` writes."""
    slacks, depths, cells, sizes = said["slack_ns"], said["depth"], said["cells"], said["batch_sizes"]
    for name, numbers in (
        ("slack_ns", slacks),
        ("depth", depths),
        ("batch_sizes", sizes),
        ("workers", [said["workers"]]),
        ("slo_ns", [said["slo_ns"]]),
    ):
        if not numbers or any(type(n) is not int or not 1 <= n < FAR_AWAY for n in numbers) or any(b <= a for a, b in pairwise(numbers)):
            raise ValueError(f"{name} must be whole numbers from 1 that ascend")
    if depths[0] != 1:
        raise ValueError("depth must begin with 1")
    if not isinstance(said["profile"]["hash"], str | None) or not all(isinstance(s, str) for s in said["subnets"]):
        raise ValueError("profile and subnets must be named")
    if not isinstance(said["provenance"], dict):
        raise ValueError("provenance must be an object")
    if len(said["accuracies"]) != len(said["subnets"]) or not all(isinstance(a, float | None) for a in said["accuracies"]):
        raise ValueError("accuracies must be a number per subnet")
    if len(cells) != len(slacks) or any(len(row) != len(depths) for row in cells):
        raise ValueError("cells must have a row per slack_ns and a column per depth")
    for cell in (cell for row in cells for cell in row if cell not in (None, WAIT)):
        subnet, size = cell
        if type(subnet) is not int or not 0 <= subnet < len(said["subnets"]) or size not in sizes:
            raise ValueError(f'{cell} is neither null, "wait" nor [number of a subnet, batch size]')


def _told(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _refuse_other(path: Path, said: Mapping[str, Any], profile: Profile, workers: int) -> None:
    hashes = said["profile"]["hash"], profile.metadata.get("hash")
    if hashes[0] != hashes[1]:
        raise BadFile(f"{path} was made for the profile {hashes[0]}, and this one is {hashes[1]}", hint="tune a policy for this profile")
    if list(profile.batch_sizes) != said["batch_sizes"] or not _left_by_a_floor(profile, said):
        served, made_for = ", ".join(profile.subnets), ", ".join(said["subnets"])
        raise BadFile(f"{path} was made for the served subnets {made_for}; here they are {served}", hint="serve the same, or tune again")
    if workers != said["workers"]:
        raise BadFile(f"{path} was made for {said['workers']} workers, and here they are {workers}", hint=f"tune with --workers {workers}")


def _left_by_a_floor(profile: Profile, said: Mapping[str, Any]) -> bool:
    """Whether the profile serves the subnets of a file, or what some accuracy floor leaves of them."""
    if list(profile.subnets) == said["subnets"]:
        return True
    floor = min((a for a in profile.accuracies if a is not None), default=1.0)
    return list(profile.subnets) == [s for s, a in zip(said["subnets"], said["accuracies"], strict=True) if a is not None and a >= floor]


def _table(path: Path, said: Mapping[str, Any], profile: Profile) -> DecisionTable:
    rows = [
        tuple(_index(path, profile, said["subnets"], cell, slack_ns) for cell in row)
        for slack_ns, row in zip(said["slack_ns"], said["cells"], strict=True)
    ]
    never = (DROP,) * len(said["depth"])
    return DecisionTable(path.name, profile, (LONG_AGO, *said["slack_ns"]), tuple(said["depth"]), (never, *rows))


def _index(path: Path, profile: Profile, subnets: list[Subnet], cell: Any, slack_ns: int) -> int:
    if cell is None or cell == WAIT:
        return DROP if cell is None else LATER
    choice = Choice(subnets[cell[0]], cell[1])
    if choice.subnet in profile.subnets and profile.plan_ns(*choice) > slack_ns:
        raise BadFile(f"{path} is damaged: {choice} needs more than {slack_ns} ns", hint=HINT)
    return index(profile, choice, slack_ns)
