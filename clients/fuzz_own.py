"""schemathesis with the server's own OpenAPI document: nothing may come that the document does not say."""

import argparse
import json
from urllib.request import Request, urlopen

from calls import Calls, run
from fuzz import fuzz

UNLOAD = "/unload$"


def suite(calls: Calls, asked: argparse.Namespace) -> None:
    """Every operation of the document, with data that fits its schemas and data that does not; last what takes models away."""
    url = f"http://{asked.http}"
    with calls.call("schemathesis run /openapi.json"):
        fuzz(f"{url}/openapi.json", url, "--exclude-path-regex", UNLOAD)
    with calls.call("schemathesis run /openapi.json: unload"):
        fuzz(f"{url}/openapi.json", url, "--include-path-regex", UNLOAD)
    with calls.call("every model comes back"):
        for name in {entry["name"] for entry in ask(f"{url}/v2/repository/index")}:
            ask(f"{url}/v2/repository/models/{name}/load")
        with urlopen(f"{url}/v2/health/ready") as answer:
            assert json.load(answer) == {"ready": True}


def ask(url: str) -> list[dict[str, str]]:
    """What a POST of nothing brings."""
    with urlopen(Request(url, b"{}", {"Content-Type": "application/json"}, method="POST")) as answer:
        return list(json.load(answer))


if __name__ == "__main__":
    run(suite)
