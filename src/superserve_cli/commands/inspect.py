def inspect() -> None:
    """(being written)."""
