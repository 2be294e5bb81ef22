"""schemathesis with the server's own OpenAPI document: nothing may come that the document does not say."""

import argparse

from calls import Calls, run
from fuzz import fuzz


def suite(calls: Calls, asked: argparse.Namespace) -> None:
    """Every operation of the document, with data that fits its schemas and data that does not."""
    with calls.call("schemathesis run /openapi.json"):
        fuzz(f"http://{asked.http}/openapi.json", f"http://{asked.http}")


if __name__ == "__main__":
    run(suite)
