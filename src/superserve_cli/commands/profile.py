def profile() -> None:
    """(being written)."""
