"""One log line per request and per socket, and an id for each."""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.logs import REQUEST_ID, log_event

HEADER = "X-Request-Id"

QUIET = ("/health/live", "/health/ready", "/metrics")
"""Requests of supervisors, every few seconds: logged at level debug if they succeed."""

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Exchange:
    """The facts about one request so far. ``status`` is that of the response, or 101 for a socket
    that was accepted; ``code`` is the code with which the socket was closed. ``sent`` and
    ``received`` are bytes of bodies and messages."""

    status: int = 0
    code: int | None = None
    sent: int = 0
    received: int = 0

    def send(self, message: Message) -> None:
        """Record a message of the server."""
        match message["type"]:
            case "http.response.start":
                self.status = message["status"]
            case "websocket.accept":
                self.status = 101
            case "websocket.close":
                self.code = message.get("code", 1000)
            case _:
                self.sent += _size(message)

    def receive(self, message: Message) -> None:
        """Record a message of the client."""
        if message["type"] == "websocket.disconnect" and self.code is None:
            self.code = message.get("code")
        self.received += _size(message)


@dataclass(frozen=True, slots=True)
class RequestLog:
    """ASGI middleware. It accepts the client's ``X-Request-Id``, or makes one, and returns it."""

    app: ASGIApp
    clock: Callable[[], float] = time.monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        began, exchange = self.clock(), Exchange()
        request_id = request_id_of(Headers(scope=scope).get(HEADER, ""))
        scope.setdefault("state", {})["request_id"] = request_id
        REQUEST_ID.set(request_id)

        async def receive_noted() -> Message:
            message = await receive()
            exchange.receive(message)
            return message

        async def send_noted(message: Message) -> None:
            exchange.send(message)
            if message["type"] in ("http.response.start", "websocket.accept"):
                message.setdefault("headers", [])
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        try:
            await self.app(scope, receive_noted, send_noted)
        except Exception:
            exchange.status = exchange.status or 500
            raise
        finally:
            _report(scope, exchange, self.clock() - began)


def request_id_of(given: str) -> str:
    """Return the client's id of a request if it is short and plain, otherwise a new one."""
    return given if _ID.fullmatch(given) else secrets.token_hex(8)


def described(scope: Mapping[str, Any], exchange: Exchange, seconds: float) -> dict[str, Any]:
    """Return the fields of a request's line: never its query, which may contain a ticket."""
    client = scope.get("client")
    caller = scope.get("state", {}).get("caller")
    return {
        "method": scope.get("method", "WEBSOCKET"),
        "path": scope["path"],
        "status": exchange.status or None,
        "code": exchange.code,
        "ms": round(seconds * 1000, 1),
        "sent": exchange.sent,
        "received": exchange.received,
        "client": client[0] if client else None,
        "key_id": caller.id if caller else None,
    }


def _report(scope: Scope, exchange: Exchange, seconds: float) -> None:
    is_quiet = scope["path"] in QUIET and exchange.status == 200
    level = logging.DEBUG if is_quiet else logging.INFO
    if _log.isEnabledFor(level):
        log_event(_log, "request", level, **described(scope, exchange, seconds))


def _size(message: Message) -> int:
    content = message.get("body") or message.get("bytes") or message.get("text") or b""
    return len(content)
