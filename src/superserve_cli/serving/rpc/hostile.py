"""What the library takes for faults of its own, and are clients': names and values in a call that are no text.

It writes a traceback for each of them to the log, which anybody could fill so; and where it is the path of a call, its server ends.
"""

import logging
from typing import Final

LOGGERS: Final = ("grpc._cython.cygrpc", "asyncio")


def quieten() -> None:
    """Keep the library's words on them out of the log; what is ours stays in."""
    for name in LOGGERS:
        logging.getLogger(name).addFilter(is_ours)  # adding it twice is adding it once


def is_ours(record: logging.LogRecord) -> bool:
    """Whether a record tells of anything but such a call."""
    error = record.exc_info[1] if record.exc_info else None
    return not is_clients(error) and not is_clients(record.msg)


def is_clients(error: object) -> bool:
    """Whether the library ran into bytes of a client that are no text."""
    if not isinstance(error, UnicodeDecodeError):
        return False
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and "grpc/_cython" in last.tb_frame.f_code.co_filename
