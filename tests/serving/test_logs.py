import json
import logging
from collections.abc import Callable

import pytest

from superserve_cli.errors import Unknown
from superserve_cli.serving import logs
from superserve_cli.serving.logs import Event


def logged(record: Callable[[logging.Logger], None], name: str, format: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a logger of that name, by itself, says on stderr."""
    logger = logging.Logger(name)
    logger.addHandler(logs.handler(format))
    record(logger)
    return capsys.readouterr().err


def test_an_event_in_text_keeps_its_fields_apart(capsys: pytest.CaptureFixture[str]) -> None:
    event = Event("worker_lost", worker=0, after_s=0.25, reason='it said "no"', path="/a b", none=None)
    line = logged(lambda log: log.warning(event), "superserve.worker", "text", capsys)
    assert line.endswith('WARNING event=worker_lost worker=0 after_s=0.25 reason="it said \\"no\\"" path="/a b" none=None\n')


def test_an_event_in_json_is_one_object_a_line_with_the_types_of_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    event = Event("worker_lost", worker=0, reason="two\nlines")
    (line,) = logged(lambda log: log.warning(event), "superserve.worker", "json", capsys).splitlines()
    fields = json.loads(line)
    assert fields.pop("time").endswith("Z")
    assert fields == {"level": "warning", "logger": "superserve.worker", "event": "worker_lost", "worker": 0, "reason": "two\nlines"}


def test_other_peoples_messages_and_tracebacks_are_objects_too(capsys: pytest.CaptureFixture[str]) -> None:
    def record(log: logging.Logger) -> None:
        log.warning("took %.1f s", 2)
        try:
            raise RuntimeError("a bug")
        except RuntimeError:
            log.exception(Event("handler_failed", path="/"))

    first, second = map(json.loads, logged(record, "asyncio", "json", capsys).splitlines())
    assert first["message"] == "took 2.0 s"
    assert (second["event"], second["path"]) == ("handler_failed", "/")
    assert second["traceback"].startswith("Traceback")
    assert second["traceback"].endswith("RuntimeError: a bug")


@pytest.mark.parametrize("wrong", [{"level": "loud"}, {"format": "xml"}])
def test_an_unknown_level_or_format_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(Unknown):
        logs.set_up(**wrong)
