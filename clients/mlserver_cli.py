"""MLServer's batch client, `mlserver infer`: a file of requests in, a file of answers out."""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from calls import Calls, run

REQUESTS = 40


def lines() -> str:
    """A file of requests for `simple`, one in a line."""
    inputs = [{"name": name, "shape": [1, 16], "datatype": "INT32", "data": list(range(16))} for name in ("INPUT0", "INPUT1")]
    return "".join(json.dumps({"id": str(i), "inputs": inputs}) + "\n" for i in range(REQUESTS))


def infer(calls: Calls, address: str, folder: Path, *options: str) -> None:
    """Run the command, and read what it wrote."""
    with calls.call(f"mlserver infer {' '.join(options)}".strip()):
        source, target = folder / "requests.jsonl", folder / "answers.jsonl"
        source.write_text(lines())
        command = [str(Path(sys.executable).with_name("mlserver")), "infer", "-u", address, "-m", "simple", "-i", source, "-o", target]
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-300:]
        answers = [json.loads(line) for line in target.read_text().splitlines()]
        assert len(answers) == REQUESTS, f"{len(answers)} answers"
        for answer in answers:
            first = next(output for output in answer["outputs"] if output["name"] == "OUTPUT0")
            assert first["data"] == [2 * n for n in range(16)], answer


def suite(calls: Calls, asked: argparse.Namespace) -> None:
    """One worker, several, small batches, headers, bytes."""
    with tempfile.TemporaryDirectory() as folder:
        for options in ([], ["--workers", "4"], ["--batch-size", "4"], ["-H", "x-request: 1"], ["--binary-data"]):
            infer(calls, asked.http, Path(folder), *options)


if __name__ == "__main__":
    run(suite)
