"""A span for each request and for each socket, named by its route."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.web.request_log import QUIET, Exchange

if TYPE_CHECKING:
    from server.telemetry.tracing import Describe, Tracing


@dataclass(frozen=True, slots=True)
class TracedRequests:
    """ASGI middleware; it is installed only if traces are made. Requests of supervisors are not
    traced, and a query, which may contain a ticket, is never part of a span."""

    app: ASGIApp
    tracing: Tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in QUIET:
            await self.app(scope, receive, send)
            return
        exchange = Exchange()

        async def send_noted(message: Message) -> None:
            exchange.send(message)
            await send(message)

        with self.tracing.request(_method(scope), Headers(scope=scope)) as describe:
            try:
                await self.app(scope, receive, send_noted)
            finally:
                _describe(describe, scope, exchange)


def _describe(describe: Describe, scope: Scope, exchange: Exchange) -> None:
    """Record the facts about a request that has ended: its route, its answer and its caller."""
    route = getattr(scope.get("route"), "path", "")
    state = scope.get("state", {})
    caller = state.get("caller")
    described = {
        "http.request.method": scope.get("method", "GET"),
        "http.route": route,
        "url.path": scope["path"][:200],
        "mastream.request_id": state.get("request_id"),
        "mastream.key_id": caller.id if caller else None,
        "mastream.close_code": exchange.code,
    }
    describe(f"{_method(scope)} {route}".rstrip(), exchange.status or 500, described)


def _method(scope: Scope) -> str:
    method: str = scope.get("method", "WEBSOCKET")
    return method
