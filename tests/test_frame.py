"""The command line as a whole: how it starts, how it refuses, how it ends."""

import os
import runpy
import subprocess
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pytest
import typer

from superserve_cli import __version__
from superserve_cli.app import run
from superserve_cli.commands import VERBS

HEAVY = ("torch", "numba", "pyarrow", "matplotlib", "numpy", "scipy", "onnx", "rich", "superserve_cli.engine", "superserve_cli.serving")
DOCS = Path(__file__).parents[1] / "docs"


def python(arguments: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, env={**os.environ, **environment})


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with another package, which adds commands that end in every way there is."""
    folder = tmp_path_factory.mktemp("extension")
    (folder / "endings.py").write_text(
        textwrap.dedent("""
            from superserve_cli.errors import Regression, SuperserveError

            def interrupted() -> None:
                raise KeyboardInterrupt

            def bug() -> None:
                raise ZeroDivisionError("ours")

            def mistake() -> None:
                raise SuperserveError("no such\\nthing", hint="make one")

            def regression() -> None:
                raise Regression("worse")

            def inconclusive() -> int:
                return 4

            def foreign() -> None:
                print("99 \\N{PLUS-MINUS SIGN} 1")

            def chatter() -> None:
                for _ in range(100_000):
                    print("on and on")
        """)
    )
    names = ("interrupted", "bug", "mistake", "regression", "inconclusive", "foreign", "chatter")
    (folder / "endings-1.dist-info").mkdir()
    (folder / "endings-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: endings\nVersion: 1\n")
    entries = "".join(f"{name} = endings:{name}\n" for name in names)
    (folder / "endings-1.dist-info" / "entry_points.txt").write_text(f"[superserve.commands]\n{entries}")
    return str(folder)


def test_help_starts_without_anything_heavy() -> None:
    script = "import sys; from superserve_cli.app import run; run(['--help']); sys.stderr.write(' '.join({*sys.modules} & {*sys.argv}))"
    ended = python(["-c", script, *HEAVY])
    assert ended.stderr == ""
    assert ended.returncode == 0
    assert "Serve weight-shared SuperNets" in ended.stdout


def test_the_version_needs_no_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"superserve {__version__}\n"


def test_no_arguments_at_all_get_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    alone = capsys.readouterr().out
    assert run(["--help"]) == 0
    assert alone.strip() == capsys.readouterr().out.strip()
    assert all(f"\n  {verb} " in alone for verb in VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_every_command_has_help_with_a_sentence(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb, "--help"]) == 0
    usage, _, text, *_ = capsys.readouterr().out.splitlines()
    assert usage.startswith(f"Usage: superserve {verb} ")
    assert text.strip()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "error: No such command 'nope'. (see `superserve --help`)\n"),
        (["--nope"], "error: No such option: --nope (see `superserve --help`)\n"),
        (["compare", "--nope"], "error: No such option: --nope (see `superserve compare --help`)\n"),
        (["compare", "one"], "error: Missing argument 'HEAD'. (see `superserve compare --help`)\n"),
        (["trace", "poisson", "--out"], "error: Option '--out' requires an argument. (see `superserve --help`)\n"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr() == ("", message)


@pytest.mark.parametrize(
    "arguments", [["trace", "poisson", "--out"], ["inspect"], ["report"], ["replay", "--trace", "poisson", "--out"], ["build", "--out"]]
)
def test_a_name_that_the_system_refuses_is_one_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*arguments, "long" * 100]) == 2
    said = capsys.readouterr().err
    assert "File name too long (" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("interrupted", 130, "error: interrupted\n"),
        ("mistake", 2, "error: no such thing (make one)\n"),
        ("regression", 3, "error: worse\n"),
        ("inconclusive", 4, ""),
    ],
)
def test_every_ending_has_its_exit_code_and_at_most_a_line(command: str, code: int, said: str, extended: str) -> None:
    ended = python(["-m", "superserve_cli", command], PYTHONPATH=extended)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, "", said)


def test_a_terminal_that_knows_ascii_alone_gets_the_codes_of_what_it_cannot_show(extended: str) -> None:
    ended = python(["-m", "superserve_cli", "foreign"], PYTHONPATH=extended, PYTHONIOENCODING="ascii")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "99 \\xb1 1\n", "")


def test_a_bug_keeps_its_traceback(extended: str) -> None:
    ended = python(["-m", "superserve_cli", "bug"], PYTHONPATH=extended)
    assert ended.returncode == 1
    assert ended.stderr.startswith("Traceback")
    assert ended.stderr.endswith("ZeroDivisionError: ours\n")


@pytest.mark.parametrize("arguments", [["--help"], ["chatter"]])
def test_a_reader_that_goes_away_is_no_error(arguments: list[str], extended: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(
        [sys.executable, "-m", "superserve_cli", *arguments],
        stdout=writer,
        stderr=subprocess.PIPE,
        check=False,
        env={**os.environ, "PYTHONPATH": extended},
    )
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, b"")


def test_the_documented_command_line_is_the_real_one() -> None:
    written = (DOCS / "cli.md").read_text(encoding="utf-8")
    if f"Typer {typer.__version__}." not in written:
        pytest.skip("docs/cli.md was written with another version of Typer, which words and wraps help in its own way")
    assert runpy.run_path(str(DOCS / "make_cli.py"))["reference"]() == written, "docs/cli.md is out of date: run `make docs`"
