def build() -> None:
    """(being written)."""
