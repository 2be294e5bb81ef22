"""Run folders and comparison folders on disk: claimed, written, found again."""

import json
import shutil
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

from superserve_cli.core import files, outcomes
from superserve_cli.core.files import read_json, write_json, write_text
from superserve_cli.errors import BadFile, BadOption
from superserve_cli.reports import comparison, markdown, page, run
from superserve_cli.reports.run import Run
from superserve_cli.reports.summary import summarize

MANIFEST: Final = "manifest.json"
OUTCOMES: Final = "outcomes.parquet"
SUMMARY: Final = "summary.json"
REPORTS: Final = ("report.md", "report.html")
OURS: Final = (MANIFEST, OUTCOMES, SUMMARY, *REPORTS)
FRESH: Final = ".new-"
"""Begins the name of a folder that is to take the place of another."""
HINT: Final = "run folders are written by `superserve replay`"


def write_run(folder: Path, this: Run) -> dict[str, Any]:
    """All files of a run folder, each whole or absent; returns the summary."""
    outcomes.write(folder / OUTCOMES, this.outcomes, this.manifest)  # first, since a disk that fills up fails here
    write_json(folder / MANIFEST, {**this.manifest, "schema": run.SCHEMA})
    return write_report(folder, this)


def write_report(folder: Path, this: Run) -> dict[str, Any]:
    """What is derived from a run: its summary, and the reports for people; returns the summary."""
    summary = summarize(this)
    write_json(folder / SUMMARY, summary)
    write_text(folder / "report.md", markdown.of_run(this, summary))
    write_text(folder / "report.html", page.of_run(this, summary))
    return summary


def write_comparison(folder: Path, runs: Sequence[Run]) -> dict[str, Any]:
    """The summary of several runs, ranked by utility, and the reports that set them side by side; returns the summary."""
    summary = comparison.summarize(runs)
    write_json(folder / SUMMARY, summary)
    write_text(folder / "report.md", markdown.of_comparison(runs, summary))
    write_text(folder / "report.html", page.of_comparison(runs, summary, _links(folder, summary)))
    return summary


def _links(folder: Path, summary: dict[str, Any]) -> dict[str, str]:
    """The reports of the single runs, where they lie beside the comparison."""
    names = {entry["policy"]: run.folder_name(entry["policy"]) for entry in summary["policies"]}
    return {policy: f"{name}/report.html" for policy, name in names.items() if (folder / name / "report.html").is_file()}


def read_run(folder: Path) -> Run:
    """The run of a folder, or of a single outcomes.parquet; raises BadFile."""
    if folder.is_file():
        return _from_outcomes(folder)
    if not (folder / OUTCOMES).is_file():
        raise BadFile(_not_a_run(folder), hint=_hint(folder))
    found = _from_outcomes(folder / OUTCOMES)
    if not (folder / MANIFEST).exists():
        return found
    manifest = read_json(folder / MANIFEST, "the manifest of a run")
    if not isinstance(manifest, dict) or manifest.get("schema") != run.SCHEMA:
        raise BadFile(f"{folder / MANIFEST} does not hold {run.SCHEMA}", hint=HINT)
    return Run(found.outcomes, manifest)


def _from_outcomes(path: Path) -> Run:
    found, metadata = outcomes.read(path)
    if not len(found):
        raise BadFile(f"{path} holds no requests", hint=HINT)
    return Run(found, {**metadata, "schema": run.SCHEMA})


def _not_a_run(folder: Path) -> str:
    if not folder.exists():
        return f"there is no {folder}"
    what = "a comparison of several runs" if run_folders(folder) else "not a run folder"
    return f"{folder} is {what}: it has no {OUTCOMES}"


def _hint(folder: Path) -> str:
    inside = run_folders(folder)
    return f"name one of its runs: {', '.join(map(str, inside))}" if inside else HINT


def run_folders(folder: Path) -> list[Path]:
    """The run folders directly inside a comparison folder, by name."""
    found = folder.glob(f"*/{OUTCOMES}") if folder.is_dir() else ()
    return sorted(path.parent for path in found if not path.parent.name.startswith(FRESH))


def find_runs(folder: Path) -> list[Path]:
    """The folder itself when it is a run, else the runs of the comparison that it holds; raises BadFile when it is neither."""
    if folder.is_file() or (folder / OUTCOMES).is_file():
        return [folder]
    if inside := run_folders(folder):
        return inside
    raise BadFile(_not_a_run(folder), hint=HINT)


def claim_folder(folder: Path, overwrite: bool) -> None:
    """Make sure that a run may be written to `folder`, which is made; before any work is done, so nothing is removed yet.

    A folder with anything in it is refused, unless `overwrite`: then what is written with `replaced` will take its place. Raises
    BadOption, and BadFile when the folder cannot be made or written to.
    """
    if folder.exists() and not folder.is_dir():
        raise BadOption(f"{folder} is a file, not a folder", hint="choose another --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not any(folder.iterdir()):
            return
        if not overwrite:
            raise BadOption(f"{folder} is not empty", hint="choose another --out, or replace what is there with --overwrite")
        _refuse_foreign(folder)
        files.claim(folder / OUTCOMES, overwrite)
    except OSError as error:
        raise BadFile(f"cannot write to {folder}: {error.strerror or error}", hint="choose another --out") from error


def report(runs: Sequence[Path], out: Path | None) -> tuple[dict[str, Any], Path | None]:
    """(Re)write the report of a run, or of several side by side; returns the summary, and the folder if there was one to write to.

    One run's report goes into its own folder, a comparison folder's into that; `out` overrides both. Raises BadFile, BadOption.
    """
    found = [run for folder in runs for run in find_runs(folder)]
    single = len(found) == 1 and found[0] == runs[0]
    own = runs[0] if len(runs) == 1 and runs[0].is_dir() else None
    home = out or own
    if home and home != own:
        _check_free(home)
    if single:
        run = read_run(found[0])
        return (write_report(home, run) if home else summarize(run)), home
    loaded = [read_run(folder) for folder in found]
    return (write_comparison(home, loaded) if home else comparison.summarize(loaded)), home


def _check_free(folder: Path) -> None:
    """Whether a report may go there: over nothing, or over an earlier comparison."""
    if _schema(folder / SUMMARY) == comparison.SCHEMA:
        return
    if taken := [name for name in OURS if (folder / name).exists()]:
        raise BadOption(f"{folder / taken[0]} is already there", hint="choose another --out")


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """A folder to write to, whose files take the place of what superserve wrote to `folder`, and of nothing else, when the block succeeds.

    Where it does not, because the disk is full perhaps, all stays as it was. Raises BadOption and BadFile.
    """
    _refuse_foreign(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        fresh = Path(mkdtemp(prefix=FRESH, dir=folder))
        try:
            yield fresh
            _take_over(folder, fresh)
        except BadFile as error:  # it shall name the file where it was to be
            raise BadFile(str(error).replace(f"{fresh}/", f"{folder}/"), hint=error.hint) from error
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    except OSError as error:
        raise BadFile(f"cannot write to {folder}: {error.strerror or error}", hint="choose another --out") from error


def _take_over(folder: Path, fresh: Path) -> None:
    """New files replace old ones first, so that there is a run at any time; then goes what is left of the old ones."""
    new = {path.relative_to(fresh) for path in fresh.rglob("*") if path.is_file()}
    for path in sorted(new):
        (folder / path).parent.mkdir(exist_ok=True)
    for path in sorted(new):
        (fresh / path).replace(folder / path)
    for inside in (folder, *folder.iterdir()):
        if inside.is_dir() and not inside.name.startswith(FRESH) and (inside == folder or _schema(inside / MANIFEST) == run.SCHEMA):
            _remove_ours(inside, {folder / path for path in new})


def _refuse_foreign(folder: Path) -> None:
    if not _ours(folder) and (foreign := [name for name in OURS if (folder / name).exists()]):
        raise BadOption(f"{folder / foreign[0]} was not written by superserve", hint="choose another --out")


def _ours(folder: Path) -> bool:
    return _schema(folder / MANIFEST) == run.SCHEMA or _schema(folder / SUMMARY) == comparison.SCHEMA


def _schema(path: Path) -> object:
    """The schema that a JSON file claims, or None when it claims none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value.get("schema") if isinstance(value, dict) else None


def _remove_ours(folder: Path, but: Set[Path]) -> None:
    for path in (folder / name for name in OURS):
        if path not in but:
            path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
