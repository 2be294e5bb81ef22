"""Options from a file, on a command that answers with what it was given."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer

from superserve_cli.app import run as superserve
from superserve_cli.commands import config
from superserve_cli.errors import SuperserveError

Command = Callable[..., dict[str, Any]]


@pytest.fixture
def given() -> Command:
    """A command: its arguments -> the values of its options, and with `again=True` those after something was done to the file."""
    app = typer.Typer()
    seen: list[dict[str, Any]] = []
    between: list[Callable[[], object]] = []

    @app.command()
    def measure(
        context: typer.Context,
        folder: Annotated[Path | None, typer.Argument()] = None,
        policy: Annotated[str, typer.Option()] = "slackfit",
        slo_ms: Annotated[float | None, typer.Option(max=100)] = None,
        threads: Annotated[int | None, typer.Option(min=1)] = None,
        device: Annotated[list[str] | None, typer.Option()] = None,
        quiet: Annotated[bool, typer.Option("--quiet", "-q")] = False,
        api_key: Annotated[str | None, typer.Option(envvar="MEASURE_KEY")] = None,
        out: Annotated[Path | None, typer.Option()] = None,
        config_file: Annotated[Path | None, config.option("policy")] = None,
    ) -> None:
        seen.append({"policy": policy, "slo_ms": slo_ms, "threads": threads, "device": device, "quiet": quiet, "api_key": api_key})
        seen[-1] |= {"out": out, "folder": folder}
        for change in between:
            change()
            seen.append(config.again(context))

    def call(*arguments: str, then: Callable[[], object] | None = None) -> dict[str, Any]:
        seen.clear()
        between[:] = [] if then is None else [then]
        typer.main.get_command(app).main(list(arguments), standalone_mode=False)
        return seen[-1]

    return call


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "measure.toml"
        path.write_text(text)
        return str(path)

    return write


def test_a_file_gives_what_the_command_line_does_not(given: Command, file: Callable[[str], str]) -> None:
    path = file('policy = "price"\nslo-ms = 50\nthreads = 2\ndevice = ["cpu", "cuda:1"]\nquiet = true\n')
    said = given("--config", path, "--threads", "4")
    assert (said["policy"], said["slo_ms"], said["threads"], said["quiet"]) == ("price", 50.0, 4, True)
    assert list(said["device"]) == ["cpu", "cuda:1"]
    assert list(given("--device", "cuda:0", "--config", path)["device"]) == ["cuda:0"]
    assert given("--config", file('device = "cpu"'))["device"] == ["cpu"]


def test_paths_in_a_file_are_those_beside_it(given: Command, file: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()
    (tmp_path / "policy.json").touch()
    assert given("--config", file('out = "run"\nfolder = "nets/a"\npolicy = "mine.py:cautious"')) | {"policy": ""} == {
        **given(),
        "policy": "",
        "out": tmp_path / "run",
        "folder": tmp_path / "nets/a",
    }
    assert given("--config", file('policy = "mine.py:cautious"'))["policy"] == f"{tmp_path}/mine.py:cautious"
    assert given("--config", file('policy = "policy.json"'))["policy"] == f"{tmp_path}/policy.json"
    assert given("--config", file('policy = "other.py:cautious"'))["policy"] == "other.py:cautious"
    assert given("--config", file('out = "/a/run"'))["out"] == Path("/a/run")
    assert given("--out", "run")["out"] == Path("run")


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ('polcy = "price"', "polcy", "did you mean policy?"),
        ("config = 'again.toml'", "'config'", "choose one of"),
        ("slo_ms = 5", "slo_ms", "did you mean slo-ms?"),
        ('slo-ms = "s3cret"', "slo-ms in .* must be a number", "option = value"),
        ("threads = 1.5", "threads in .* must be a whole number", ""),
        ("threads = true", "threads in .* must be a whole number", ""),
        ('quiet = "yes"', "quiet in .* must be true or false", ""),
        ("api-key = 12345678901234567890", "api-key in .* must be text", ""),
        ('device = ["cpu", 1]', "device in .* must be text in quotation marks, or a list of such", ""),
        ('policy = ["price"]', "policy in .* must be text", ""),
        ("[serve]\nthreads = 1", "'serve'", ""),
        ("threads 1", "is not TOML: .*line 1", "option = value"),
    ],
)
def test_a_mistake_is_told_with_its_place_and_without_its_value(
    given: Command, file: Callable[[str], str], text: str, says: str, hint: str
) -> None:
    with pytest.raises(SuperserveError, match=says) as refusal:
        given("--config", file(text))
    assert hint in refusal.value.hint
    assert "measure.toml" in str(refusal.value)
    assert "s3cret" not in str(refusal.value)
    assert "1234567" not in str(refusal.value)


def test_a_file_that_cannot_be_read_is_told(given: Command, tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    for name, says in (("missing.toml", "No such file"), ("bytes", "is not text"), (".", "Is a directory")):
        with pytest.raises(SuperserveError, match=says):
            given("--config", str(tmp_path / name))


def test_what_is_read_again_yields_to_the_same_command_line(
    given: Command, file: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEASURE_KEY", "of the environment")
    path = file('policy = "price"\nthreads = 2\ndevice = "cpu"\nout = "run"')
    said = given("--threads", "4", "--config", path, then=lambda: file('slo-ms = 7\nthreads = 3\ndevice = ["cuda"]\napi-key = "no"'))
    assert (said["policy"], said["slo_ms"], said["threads"], said["out"]) == ("slackfit", 7, 4, None)
    assert list(said["device"]) == ["cuda"]
    assert said["api_key"] == "of the environment"
    assert given("--threads", "4", then=lambda: None)["threads"] == 4


@pytest.mark.parametrize("text", ["slo-ms = 101", "polcy = 1", "threads"])
def test_what_is_wrong_when_it_is_read_again_is_told_the_same_way(given: Command, file: Callable[[str], str], text: str) -> None:
    with pytest.raises(SuperserveError):
        given("--config", file(""), then=lambda: file(text))


def test_a_value_out_of_range_is_one_line(file: Callable[[str], str], capsys: pytest.CaptureFixture[str]) -> None:
    assert superserve(["serve", "--config", file("port = 99999")]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "--port" in err
