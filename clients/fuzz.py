"""schemathesis as a command, with what both suites of it agree on."""

import subprocess
import sys
import tempfile
from pathlib import Path

# HTTP ignores headers that it does not know (RFC 9110, 5.1), so one that is not documented does not make a request wrong. A deadline that
# cannot be met, a full queue and what a server does not offer are answers, not crashes; and no schema can say that data must fill its
# shape, so a well-formed request may still be a 400.
CONFIG = """
[generation]
allow-extra-parameters = false
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 501, 503, 504]
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 400, 401, 404, 413, 415, 501, 503, 504]
"""
EXAMPLES = 40


def fuzz(document: str, url: str, *options: str) -> None:
    """Run it; raises AssertionError with its findings printed when there are any."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "schemathesis.toml"
        config.write_text(CONFIG)
        tool = str(Path(sys.executable).with_name("schemathesis"))
        command = [tool, "--config-file", config, "run", document, "--url", url, "--max-examples", str(EXAMPLES), "--seed", "1", *options]
        done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=400, check=False)
    summary = done.stdout[done.stdout.rfind("=== SUMMARY") :]
    if done.returncode:
        print(done.stdout, done.stderr)
        raise AssertionError(f"exit code {done.returncode}: {summary}")
    print(summary)
