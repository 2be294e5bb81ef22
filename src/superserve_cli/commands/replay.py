def replay() -> None:
    """(being written)."""
