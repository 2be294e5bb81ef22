"""Compiles the .proto files into the descriptor sets that the package ships; `--check` says whether those are up to date.

Needs grpcio-tools, which the package itself does not.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from grpc_tools import protoc

FOLDER = Path(__file__).parents[1] / "src/superserve_cli/serving/rpc"


def compiled(source: Path) -> bytes:
    """The descriptor set of a source as it is now."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "compiled"
        if protoc.main(["protoc", f"--proto_path={FOLDER}", f"--descriptor_set_out={out}", source.name]):
            sys.exit(f"{source} does not compile")
        return out.read_bytes()


if __name__ == "__main__":
    for source in FOLDER.glob("*.proto"):
        target = source.with_suffix(".binpb")
        if "--check" not in sys.argv[1:]:
            target.write_bytes(compiled(source))
        elif target.read_bytes() != compiled(source):
            sys.exit(f"{target} is out of date: run python {Path(__file__).name}")
