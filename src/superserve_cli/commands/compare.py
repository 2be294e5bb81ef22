def compare() -> None:
    """(being written)."""
