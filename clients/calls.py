"""What every suite shares: its options, one printed line per call, and an exit code."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Calls:
    """Counts what a client's calls came to."""

    def __init__(self) -> None:
        self.made = self.failed = 0

    @contextmanager
    def call(self, name: str) -> Iterator[None]:
        """A call that must succeed, with all that is asserted of its answer."""
        self.made += 1
        try:
            yield
        except Exception as error:  # whatever a client raises is a failure of this call alone
            self.failed += 1
            print(f"FAIL  {name}: {type(error).__name__} {' '.join(str(error).split())[:300]}", flush=True)
        else:
            print(f"ok    {name}", flush=True)

    @contextmanager
    def refused(self, name: str, error: type[Exception]) -> Iterator[None]:
        """A call that must raise the client's own error, with the server's message in it."""
        with self.call(name):
            try:
                yield
            except error as refusal:
                assert str(refusal).strip(), "no message"
                return
            raise AssertionError("it was not refused")


def run(suite: Callable[[Calls, argparse.Namespace], Any]) -> None:
    """Run a suite against the server that the command line names, and exit with 1 when a call failed."""
    parser = argparse.ArgumentParser(description=suite.__doc__)
    parser.add_argument("--http", required=True, metavar="HOST:PORT")
    parser.add_argument("--grpc", metavar="HOST:PORT", default="")
    parser.add_argument("--model", required=True, help="a model with one input")
    asked, calls = parser.parse_args(), Calls()
    sys.argv = sys.argv[:1]  # kserve parses the command line of whoever imports it
    suite(calls, asked)
    print(f"{calls.made} calls, {calls.failed} failed")
    sys.exit(1 if calls.failed or not calls.made else 0)
