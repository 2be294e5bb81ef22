def list() -> None:
    """(being written)."""
