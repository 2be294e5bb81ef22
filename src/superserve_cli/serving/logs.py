"""What a server says while it runs: events with fields, one line each, as text for people or as JSON for machines.

log.warning(Event("worker_lost", worker=0, exit_code=-9))

2026-01-31 12:00:00,123 WARNING event=worker_lost worker=0 exit_code=-9
{"time": "2026-01-31T11:00:00.123456Z", "level": "warning", "logger": "superserve.worker", "event": "worker_lost", "worker": 0, ...}
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

from superserve_cli.errors import Unknown

FORMATS: Final = ("text", "json")
LEVELS: Final = ("debug", "info", "warning", "error")
BARE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+.,:;/@%()[]")
"""What a value in text may hold without quotation marks."""


class Event:
    """Something that happened: a name that stays the same, and fields; a message for `logging`."""

    __slots__ = ("fields", "name")

    def __init__(self, name: str, /, **fields: object) -> None:
        self.name = name
        self.fields = fields

    def __str__(self) -> str:
        return " ".join([f"event={self.name}", *(f"{key}={_text(value)}" for key, value in self.fields.items())])


def _text(value: object) -> str:
    shown = f"{value:g}" if isinstance(value, float) else str(value)
    return shown if shown and BARE.issuperset(shown) else json.dumps(shown, ensure_ascii=False)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, event and its fields, or message; a traceback is a field."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        line: dict[str, object] = {"time": time, "level": record.levelname.lower(), "logger": record.name}
        if isinstance(record.msg, Event):
            line |= {"event": record.msg.name, **record.msg.fields}
        else:
            line["message"] = record.getMessage()
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def handler(format: str) -> logging.Handler:
    """Writes to stderr in a format; raises Unknown."""
    if format not in FORMATS:
        raise Unknown("log format", format, FORMATS)
    made = logging.StreamHandler(sys.stderr)
    made.setFormatter(JsonFormatter() if format == "json" else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return made


def set_up(level: str = "info", format: str = "text") -> None:
    """Log to stderr from a level on, unless this process logs already; raises Unknown."""
    if level not in LEVELS:
        raise Unknown("log level", level, LEVELS)
    logging.basicConfig(level=level.upper(), handlers=[handler(format)])
