def bench() -> None:
    """(being written)."""
