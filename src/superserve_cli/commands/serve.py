def serve() -> None:
    """(being written)."""
