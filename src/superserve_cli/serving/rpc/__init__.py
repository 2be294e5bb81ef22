"""The protocol's gRPC side. `messages` holds what both ends of the wire speak."""
