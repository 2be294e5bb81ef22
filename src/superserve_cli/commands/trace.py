def trace() -> None:
    """(being written)."""
