"""superserve: serve weight-shared SuperNets within a deadline."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("superserve-cli")
except PackageNotFoundError:  # run from a source tree that is not installed (PYTHONPATH=src)
    __version__ = "0+source"
