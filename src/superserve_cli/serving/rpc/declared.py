"""Descriptions of services, as the `.proto` files beside this one compile to, each in a pool of its own.

Other packages register the same names in protobuf's default pool (tritonclient, kserve, open-inference, grpcio-health-checking); there a
second definition is refused, here all live in one process.
"""

from importlib.resources import files
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass


def pool(name: str) -> DescriptorPool:
    """What `name.proto` declares."""
    found = DescriptorPool()
    for file in FileDescriptorSet.FromString(files(__package__).joinpath(f"{name}.binpb").read_bytes()).file:
        found.AddSerializedFile(file.SerializeToString())
    return found


def message(declared: DescriptorPool, name: str) -> Any:
    """The class of a message of that full name."""
    return GetMessageClass(declared.FindMessageTypeByName(name))
