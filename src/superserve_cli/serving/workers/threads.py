import os

from superserve_cli.errors import BadOption


def threads(asked: int | None) -> int:
    """How many threads a worker has: as many as are asked for, by default all cores but one; raises BadOption for less than one."""
    count = max(1, (os.cpu_count() or 1) - 1) if asked is None else asked
    if count < 1:
        raise BadOption(f"{count} threads", hint="a worker needs at least 1")
    return count
