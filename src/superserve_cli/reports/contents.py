"""What a file or folder is, and what is in it, told from its schema."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from superserve_cli import policies, profiles, traces
from superserve_cli.core.files import KEY
from superserve_cli.core.nouns import NS_PER_MS, NS_PER_S
from superserve_cli.engine import recording
from superserve_cli.errors import BadFile
from superserve_cli.reports import comparison, described, folders, markdown, notation
from superserve_cli.reports.notes import of_accuracies
from superserve_cli.reports.summary import summarize

KNOWN: Final = "superserve knows profiles, traces, outcomes, recordings, policy files, folders of runs and SuperNets, and ONNX files"
CSV: Final = (".csv", ".csv.gz")


@dataclass(frozen=True)
class Contents:
    """What something is (`kind`, in words), facts about it as (name, value), and a table, which may be empty; `data` has it as numbers."""

    kind: str
    facts: Sequence[tuple[str, str]]
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    data: Mapping[str, Any]


def contents(path: Path) -> Contents:
    """What a file or a folder of runs holds; raises BadFile when it is nothing that superserve knows."""
    if not path.exists() and str(path) in profiles.shipped():
        return _profile(path)
    if not path.exists():
        raise BadFile(f"there is no {path}", hint=KNOWN)
    if path.is_dir():
        return _folder(path)
    return _readers(path)[_schema(path)](path)


def _folder(path: Path) -> Contents:
    if (path / folders.OUTCOMES).is_file():
        return _run(path)
    if folders.run_folders(path):
        return _comparison(path)
    raise BadFile(f"{path} is a folder without a run, a comparison or a SuperNet", hint=KNOWN)


def _readers(path: Path) -> dict[str, Callable[[Path], Contents]]:
    """How to read each schema; any other is refused by name."""
    known: dict[str, Callable[[Path], Contents]] = {
        "profile/1": _profile,
        "trace/1": _trace,
        "outcomes/1": _run,
        "policy/1": _policy,
        recording.SCHEMA: _recording,
    }
    if _schema(path) not in known:
        raise BadFile(f"{path} holds {_schema(path)}, which this superserve cannot show", hint=KNOWN)
    return known


def _schema(path: Path) -> str:
    """What a single file claims to hold."""
    if path.name.endswith(CSV):
        return _schema_of_csv(path)
    if path.suffix == ".json":
        return _schema_of_json(path)
    if "schema" not in (claims := _claims(path)):
        raise BadFile(f"{path} is Parquet, but does not say which superserve schema it holds", hint=KNOWN)
    return str(claims["schema"])


def _claims(path: Path) -> Mapping[str, Any]:
    """What a Parquet file says about itself: superserve's metadata, or nothing."""
    try:
        claims = json.loads((pq.read_schema(path).metadata or {}).get(KEY, "{}"))
    except (pa.ArrowException, OSError):
        raise BadFile(f"{path} is neither Parquet nor CSV", hint=KNOWN) from None
    except ValueError:
        return {}
    return claims if isinstance(claims, dict) else {}


def _schema_of_csv(path: Path) -> str:
    """A CSV has no schema to claim: a profile has subnets, everything else may be a trace."""
    if path.suffix == ".gz":
        return "trace/1"
    try:
        with path.open(newline="", encoding="utf-8") as text:
            return "profile/1" if "subnet" in next(csv.reader(text), []) else "trace/1"
    except (OSError, ValueError, csv.Error) as error:
        raise BadFile(f"{path} is not a readable CSV file: {error}", hint=KNOWN) from error


def _schema_of_json(path: Path) -> str:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFile(f"{path} is not readable JSON: {error}", hint=KNOWN) from error
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema == "policy/1":
        return str(schema)
    raise BadFile(f"{path} holds {schema or 'JSON that is not ours'}", hint=f"name the folder that it lies in: {path.parent}")


def _profile(path: Path) -> Contents:
    profile = profiles.load(path)
    served = profile.served().subnets
    facts = [
        ("schema", "profile/1"),
        ("rows", f"{len(profile.subnets)} subnets x {len(profile.batch_sizes)} batch sizes"),
        *_metadata(
            profile.metadata,
            ("hash", "supernet", "device", "threads", "dtype", "backend", "accuracy_kind", "dataset", "seed", "created", "versions"),
        ),
        ("served by default", f"{len(served)} subnets that none dominates"),
        ("default SLO", f"{profile.default_slo_ns() / NS_PER_MS:g} ms"),
    ]
    rows = [
        (
            subnet,
            notation.percent(profile.accuracy(subnet)),
            *(notation.milliseconds(plan / NS_PER_MS) for plan in plans),
            "yes" if subnet in served else "",
        )
        for subnet, plans in zip(profile.subnets, profile.plan, strict=True)
    ]
    return Contents(
        "profile", facts, ("subnet", "accuracy", *(f"ms at {size}" for size in profile.batch_sizes), "served"), rows, _numbers(profile)
    )


def _numbers(profile: profiles.Profile) -> dict[str, Any]:
    return {
        "metadata": dict(profile.metadata),
        "batch_sizes": profile.batch_sizes,
        "served": profile.served().subnets,
        "default_slo_ns": profile.default_slo_ns(),
        "subnets": [
            {"subnet": subnet, "accuracy": accuracy, "plan_ns": plan}
            for subnet, accuracy, plan in zip(profile.subnets, profile.accuracies, profile.plan, strict=True)
        ],
    }


def _trace(path: Path) -> Contents:
    trace = traces.load(f"file:{path}", qps=None, duration_s=None, seed=None)
    source = trace.source if path.name.endswith(CSV) else str(_claims(path).get("source", trace.source))
    facts = [
        ("schema", "trace/1"),
        ("source", source),
        ("hash", traces.content_hash(trace)[:12]),
        *_metadata(trace.metadata, ("seed", "parameters")),
    ]
    found = traces.statistics(trace)
    data = {"source": source, "hash": traces.content_hash(trace), **found, "metadata": dict(trace.metadata)}
    return Contents("trace", facts, ("arrivals", "value"), traces.describe(found), data)


def _policy(path: Path) -> Contents:
    said = policies.read(path)
    made = said["provenance"]
    facts = [
        ("schema", "policy/1"),
        ("profile", f"{said['profile'].get('name')}, {str(said['profile']['hash'])[:12]}"),
        ("made for", f"{len(said['subnets'])} subnets, {said['workers']} workers, SLO {said['slo_ns'] / NS_PER_MS:g} ms"),
        ("table", f"{len(said['slack_ns'])} slacks x {len(said['depth'])} depths"),
        *_metadata(made, ("start", "improved", "interrupted", "late", "service", "course")),
    ]
    data = {key: value for key, value in said.items() if key not in ("cells", "slack_ns", "depth")}
    return Contents("policy", facts, (), (), data)


def _run(path: Path) -> Contents:
    run = folders.read_run(path)
    kind = "run folder" if path.is_dir() else "outcomes of a run"
    facts = [("schema", "outcomes/1"), ("rows", f"{notation.count(len(run.outcomes))} requests"), *described.facts(run)]
    summary = summarize(run)
    return Contents(kind, facts, ("figure", "value"), markdown.figures(summary), {"manifest": dict(run.manifest), "summary": summary})


def _recording(path: Path) -> Contents:
    kept = recording.read(path)
    counted = Counter(kept.table["event"].to_pylist())
    seconds = (pc.max(kept.table["time_ns"]).as_py() - pc.min(kept.table["time_ns"]).as_py()) / NS_PER_S if len(kept) else 0.0
    facts = [
        ("schema", recording.SCHEMA),
        ("rows", f"{notation.count(len(kept))} events and decisions in {seconds:.1f} s"),
        *((name, str(kept.about[name])) for name in ("policy", "late", "workers")),
        ("profile", str(kept.about["profile"])[:12]),
    ]
    rows = [(name, notation.count(counted[name])) for name in recording.NAMES]
    data = {"about": dict(kept.about), "seconds": seconds, "events": {name: counted[name] for name in recording.NAMES}}
    return Contents("recording of a server's decisions", facts, ("event", "count"), rows, data)


def _comparison(path: Path) -> Contents:
    runs = [folders.read_run(folder) for folder in folders.run_folders(path)]
    summary = comparison.summarize(runs)
    facts = [("Runs", str(len(runs))), *described.common(runs), *(("Note", note) for note in of_accuracies(summary["policies"]))]
    return Contents("comparison of runs", facts, comparison.NARROW, comparison.narrow_rows(summary["policies"]), summary)


def _metadata(metadata: Mapping[str, Any], keys: Sequence[str]) -> list[tuple[str, str]]:
    """Provenance as text: hashes cut, mappings and lists in one line, unknown entries left out."""
    return [(key, _text(key, metadata[key])) for key in keys if metadata.get(key) not in (None, "", {}, [])]


def _text(key: str, value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(name, part)}" for name, part in value.items() if part not in (None, "", {}, []))
    if isinstance(value, list):
        return " ".join(_text(key, part) for part in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)[:12] if key == "hash" else str(value)
