"""The log's lines, for people and for programs."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import copy_context

from server.logs import KEY_ID, REQUEST_ID, ConsoleFormatter, JsonFormatter, json_time, log_event


def record(message: str = "request", **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("server.web", logging.INFO, "", 0, message, (), None)
    made.created, made.fields = 1.5, fields
    return made


def test_a_json_line_has_the_event_and_its_fields() -> None:
    line = json.loads(JsonFormatter().format(record(status=200, ms=1.5, code=None, client="")))
    assert line == {
        "time": "1970-01-01T00:00:01.500Z",
        "level": "info",
        "logger": "server.web",
        "message": "request",
        "status": 200,
        "ms": 1.5,
    }


def test_a_console_line_is_one_line_whatever_a_client_sends() -> None:
    line = ConsoleFormatter().format(record(path="/a\nFORGED b", ms=12.5))
    assert line == ('1970-01-01T00:00:01Z INFO server.web: request path="/a\\nFORGED b" ms=12.5')


def test_a_value_is_bounded() -> None:
    assert len(json.loads(JsonFormatter().format(record(path="x" * 5000)))["path"]) == 200


def test_a_line_names_the_request_and_the_key_that_it_belongs_to() -> None:
    def inside() -> str:
        REQUEST_ID.set("r1")
        KEY_ID.set("k1")
        return JsonFormatter().format(record())

    line = json.loads(copy_context().run(inside))
    assert (line["request_id"], line["key_id"]) == ("r1", "k1")
    assert "request_id" not in json.loads(JsonFormatter().format(record()))


def test_an_error_keeps_its_traceback_in_one_line() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        failed = record("it failed")
        failed.exc_info = sys.exc_info()
    text = JsonFormatter().format(failed)
    assert "\n" not in text
    assert "ValueError: broken" in json.loads(text)["error"]


def test_an_event_is_logged_with_its_fields() -> None:
    seen: list[logging.LogRecord] = []
    logger = logging.Logger("one")
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign]
    logger.addHandler(handler)
    log_event(logger, "stream opened", stream="a")
    assert (seen[0].getMessage(), seen[0].__dict__["fields"]) == ("stream opened", {"stream": "a"})


def test_times_are_in_utc() -> None:
    assert json_time(0.0) == "1970-01-01T00:00:00.000Z"
