"""Runs the client suites, each in a virtual environment of its own, against `superserve serve --fixtures`, and sums them up.

    python clients/run.py [--only NAME,NAME] [--venvs FOLDER] [--http HOST:PORT --grpc HOST:PORT --model NAME]

Without --http it starts a server itself: `superserve` of the environment that runs this script. Exits with 1 when a suite failed, or
could not be installed.
"""

import argparse
import re
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
ADDRESSES = re.compile(r"serving (?P<model>\S+) on http://(?P<http>\S+)(?: and grpc://(?P<grpc>\S+))?")
SUITE_S = 600
INSTALL_S = 900


class Suite(NamedTuple):
    """A script of this folder, and the environment that it runs in."""

    name: str
    script: str
    environment: str
    grpc: bool = False


ENVIRONMENTS = {
    "tritonclient": [["tritonclient[http,grpc]==2.73.0"]],
    "open-inference-openapi": [["open-inference-openapi==2.0.0.1"]],
    "open-inference-grpc": [["open-inference-grpc==2.0.0", "protobuf"]],
    "kserve": [["kserve==0.21.0"]],
    "mlserver": [["mlserver==1.7.1"]],
    # of MLServer only the document that it ships is read
    "schemathesis": [["schemathesis==4.32.5"], ["--no-deps", "mlserver==1.7.1"]],
    "mlcommons-loadgen": [["mlcommons-loadgen==6.0.17", "numpy"]],
}
"""What pip installs into each, one call after the other."""
SUITES = (
    Suite("tritonclient-http", "triton_http.py", "tritonclient"),
    Suite("tritonclient-grpc", "triton_grpc.py", "tritonclient", grpc=True),
    Suite("tritonclient-aio", "triton_aio.py", "tritonclient", grpc=True),
    Suite("triton-examples", "triton_patterns.py", "tritonclient", grpc=True),
    Suite("open-inference-openapi", "oip_rest.py", "open-inference-openapi"),
    Suite("open-inference-grpc", "oip_grpc.py", "open-inference-grpc", grpc=True),
    Suite("kserve", "kserve_both.py", "kserve", grpc=True),
    Suite("mlserver-infer", "mlserver_cli.py", "mlserver"),
    Suite("schemathesis-own", "fuzz_own.py", "schemathesis"),
    Suite("schemathesis-official", "fuzz_official.py", "schemathesis"),
    Suite("mlcommons-loadgen", "mlperf_server.py", "mlcommons-loadgen"),
)


class Server(NamedTuple):
    """Where a server listens, and the name of its SuperNet."""

    http: str
    grpc: str
    model: str


@contextmanager
def served() -> Iterator[Server]:
    """A server of this environment's superserve, with the fixture models; its deadlines are generous, for busy machines.

    Port 0 is a free one, of HTTP as of gRPC.
    """
    command = [sys.executable, "-m", "superserve_cli", "serve", "--fixtures", "--port", "0", "--slo-ms", "5000"]
    process = subprocess.Popen([*command, "--quiet"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()  # an end of file when it could not start: it has said why
        found = ADDRESSES.search(line)
        if found is None:
            sys.exit(f"superserve serve did not start: {line!r}")
        yield Server(found["http"], found["grpc"] or "", found["model"])
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()


def installed(name: str, folder: Path) -> tuple[Path, str]:
    """The Python of an environment, made and filled when it is not yet, and what went wrong ("" if nothing)."""
    python, filled = folder / name / "bin/python", folder / name / "filled"
    wanted = repr(ENVIRONMENTS[name])
    if filled.exists() and filled.read_text() == wanted:
        return python, ""
    print(f"== installing {name} ...", flush=True)
    venv.create(folder / name, with_pip=True, clear=True)
    for packages in ENVIRONMENTS[name]:
        command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        if done.returncode:
            return python, (done.stderr.strip().splitlines() or ["pip failed"])[-1]
    filled.write_text(wanted)
    return python, ""


def outcome(suite: Suite, server: Server, folder: Path) -> tuple[str, str]:
    """What became of a suite, and what it said last."""
    if suite.grpc and not server.grpc:
        return "FAILED", "the server speaks no gRPC"
    python, trouble = installed(suite.environment, folder)
    if trouble:
        return "NOT INSTALLED", trouble
    command = [str(python), str(HERE / suite.script), "--http", server.http, "--grpc", server.grpc, "--model", server.model]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SUITE_S, check=False)
    except subprocess.TimeoutExpired:
        return "FAILED", f"it took more than {SUITE_S} s"
    print(done.stdout, end="")
    if done.returncode:
        print(done.stderr[-4000:], file=sys.stderr)
    last = (done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return ("passed" if done.returncode == 0 else "FAILED"), last


def table(rows: list[tuple[str, str, float, str]]) -> None:
    """The summary."""
    print(f"\n{'suite':24} {'outcome':14} {'s':>5}  ")
    for name, what, seconds, last in rows:
        print(f"{name:24} {what:14} {seconds:5.1f}  {last[:110]}")


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help=f"of {', '.join(suite.name for suite in SUITES)}")
    parser.add_argument("--venvs", type=Path, default=HERE / "venvs", help="where the environments are kept")
    parser.add_argument("--http", metavar="HOST:PORT", help="a server that runs already")
    parser.add_argument("--grpc", metavar="HOST:PORT", default="")
    parser.add_argument("--model", default="")
    asked = parser.parse_args()
    names = asked.only.split(",") if asked.only else [suite.name for suite in SUITES]
    if unknown := set(names) - {suite.name for suite in SUITES}:
        parser.error(f"there is no suite {', '.join(sorted(unknown))}")
    if asked.http:
        rows = ran(names, Server(asked.http, asked.grpc, asked.model), asked.venvs)
    else:
        with served() as server:
            rows = ran(names, server, asked.venvs)
    table(rows)
    sys.exit(any(what != "passed" for _, what, *_ in rows))


def ran(names: list[str], server: Server, folder: Path) -> list[tuple[str, str, float, str]]:
    """Every suite of these names: its name, what became of it, its seconds, and what it said last."""
    rows = []
    for suite in SUITES:
        if suite.name in names:
            print(f"== {suite.name}", flush=True)
            start = time.monotonic()
            what, last = outcome(suite, server, folder.resolve())
            rows.append((suite.name, what, time.monotonic() - start, last))
    return rows


if __name__ == "__main__":
    main()
