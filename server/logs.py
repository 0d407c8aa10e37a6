"""Structured log lines: one event per line, for people (console) or for programs (JSON).

A line has a time, a level, a logger and a message, the fields of its event, and the ids of the
request and of its key, if a request is being served. Neither contains a secret.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from server.settings import LogFormat

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
KEY_ID: ContextVar[str] = ContextVar("key_id", default="")
"""The request's id and the key's id: set for the task that serves a request, and for the tasks that
it starts."""

MAX_TEXT = 200
"""Maximum characters of one value: a client can choose its paths freely."""

_PLAIN = re.compile(r"[\w.:/+@%-]+", re.ASCII)


def log_event(logger: logging.Logger, event: str, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event with its fields; those that are None or "" are omitted."""
    logger.log(level, event, extra={"fields": fields})


def begin_log(level: str, form: LogFormat) -> None:
    """Send all log lines to stderr from now on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else ConsoleFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    # At level info uvicorn and httpx log every address with its query, which may contain a secret;
    # Alembic logs each plugin that it loads.
    for library in ("uvicorn", "httpx", "alembic"):
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.root.level))


class ConsoleFormatter(logging.Formatter):
    """``TIME LEVEL LOGGER: MESSAGE field=value ...``, with the time in UTC."""

    def __init__(self) -> None:
        super().__init__(
            "%(asctime)sZ %(levelname)s %(name)s: %(message)s%(fields_text)s", "%Y-%m-%dT%H:%M:%S"
        )
        self.converter = time.gmtime

    def format(self, record: logging.LogRecord) -> str:
        record.fields_text = console_fields(fields_of(record))
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """One JSON object per line; a traceback is the text of its field ``error``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": json_time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= fields_of(record)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return an event's fields and the ids of the request and the key that it belongs to."""
    known = {"request_id": REQUEST_ID.get(), "key_id": KEY_ID.get()}
    fields = known | dict(getattr(record, "fields", {}))
    return {name: _bounded(value) for name, value in fields.items() if value not in (None, "")}


def console_fields(fields: Mapping[str, Any]) -> str:
    """Return fields as `` name=value`` each; text that is not one plain word is quoted as in JSON,
    so that nothing a client sends can begin a line."""
    return "".join(f" {name}={_word(value)}" for name, value in fields.items())


def json_time(seconds: float) -> str:
    """Return a time in ISO 8601, in UTC, to the millisecond."""
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds * 1000) % 1000:03d}Z"


def _bounded(value: Any) -> Any:
    return value[:MAX_TEXT] if isinstance(value, str) else value


def _word(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
