"""Compiles open_inference.proto into the descriptor set that the package ships; `--check` says whether that one is up to date.

Needs grpcio-tools, which the package itself does not.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from grpc_tools import protoc

FOLDER = Path(__file__).parents[1] / "src/superserve_cli/serving/rpc"
SOURCE, TARGET = FOLDER / "open_inference.proto", FOLDER / "open_inference.binpb"


def compiled() -> bytes:
    """The descriptor set of the source as it is now."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / TARGET.name
        if protoc.main(["protoc", f"--proto_path={FOLDER}", f"--descriptor_set_out={out}", SOURCE.name]):
            sys.exit(f"{SOURCE} does not compile")
        return out.read_bytes()


if __name__ == "__main__":
    if "--check" not in sys.argv[1:]:
        TARGET.write_bytes(compiled())
    elif TARGET.read_bytes() != compiled():
        sys.exit(f"{TARGET} is out of date: run python {Path(__file__).name}")
