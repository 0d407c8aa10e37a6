"""The gate in front of every route: it checks Host and Origin, and identifies the caller.

Routes read the caller with :func:`caller_of`; they decide themselves which videos and streams of
others they show.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from protocol import SUBPROTOCOL
from server.errors import MastreamError, Unauthorized
from server.logs import KEY_ID
from server.security.callers import ANYONE, NOBODY, Caller
from server.security.exposure import Access
from server.security.origins import check_host, check_origin
from server.security.rights import needed
from server.security.sessions import COOKIE
from server.settings import SecuritySettings
from server.streams.ending import ending_of
from server.web.access.keyring import Keyring
from server.web.problems import refusal_of
from server.web.socket_ending import send_ending
from server.web.transports.breaking_off import break_off

RECHECK_SECONDS = 5.0
"""Seconds between checks of the key of an open socket or a long request; for this long a revoked
key can still watch, and as long again if another process revokes it while it counts as valid."""

CLOSE_SECONDS = 5.0
"""Seconds that a client has to take the end of a socket or a response."""

_NO_KEY = "This server requires an API key: send it as `Authorization: Bearer KEY`."


def caller_of(connection: HTTPConnection) -> Caller:
    """Return the caller of a request or socket."""
    caller: Caller = connection.scope["state"]["caller"]
    return caller


def client_of(connection: HTTPConnection) -> str:
    """Return the client that limits apply to: the caller's key or, if none is required, its
    address."""
    return sender_of(connection.scope)


def sender_of(scope: Mapping[str, Any]) -> str:
    """Return what :func:`client_of` does; the address until the gate knows the caller."""
    caller: Caller = scope.get("state", {}).get("caller", NOBODY)
    address = scope["client"][0] if scope.get("client") else ""
    return caller.id or address


@dataclass(frozen=True, slots=True)
class Gate:
    """ASGI middleware. ``rejected`` counts refusals by their code."""

    app: ASGIApp
    who: Access
    security: SecuritySettings
    keyring: Keyring
    rejected: Callable[[str], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            caller = await self._admit(scope)
        except MastreamError as error:
            self.rejected(error.code)
            await _refuse(error, scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        KEY_ID.set(caller.id)
        if caller.id:
            await self._while_valid(caller, scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _admit(self, scope: Scope) -> Caller:
        """Return the caller of a request. Raises the error with which it is refused."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        check_host(host, self.who, self.security.hosts)
        method = scope.get("method", "WEBSOCKET")
        if method not in ("GET", "HEAD"):
            check_origin(headers.get("origin", ""), host, self.security.origins)
        if self.who is not Access.KEYS:
            return ANYONE
        role = needed(method, scope["path"])
        if role is None:
            return NOBODY
        caller = await self._identify(scope, headers)
        caller.require(role)
        return caller

    async def _identify(self, scope: Scope, headers: Headers) -> Caller:
        """Return the caller according to the first credential given. Raises Unauthorized."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return await self.keyring.by_key(key.strip())
        if tickets := parse_qs(scope["query_string"].decode("latin-1")).get("ticket"):
            return await self.keyring.by_ticket(tickets[0])
        if cookie := _cookie(headers):
            return await self.keyring.by_session(cookie)
        raise Unauthorized(_NO_KEY)

    async def _while_valid(
        self, caller: Caller, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Serve a request or a socket until it ends, its key is revoked or its token expires."""
        begun = False

        async def send_noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            async with asyncio.timeout(None) as limit:
                watching = asyncio.create_task(self._watch(caller, limit))
                try:
                    await self.app(scope, receive, send_noted)
                finally:
                    watching.cancel()
        except TimeoutError:
            if not limit.expired():
                raise
            await _end(scope, receive, send, begun=begun)

    async def _watch(self, caller: Caller, limit: asyncio.Timeout) -> None:
        """Let the limit pass as soon as the caller may do nothing more."""
        is_over = False
        while not is_over:
            await asyncio.sleep(RECHECK_SECONDS)
            is_over = await self._is_over(caller)
        limit.reschedule(asyncio.get_running_loop().time())

    async def _is_over(self, caller: Caller) -> bool:
        """Return whether the key was revoked or the token has expired; if the database fails, a key
        still counts as valid."""
        with suppress(MastreamError):
            return not await self.keyring.is_valid(caller)
        return False


async def _end(scope: Scope, receive: Receive, send: Send, *, begun: bool) -> None:
    """End a socket or a response whose caller is not valid any more; answer if none has begun."""
    error = Unauthorized("The API key was revoked, or the token has expired.")
    if scope["type"] == "http" and not begun:
        await refusal_of(error)(scope, receive, send)
        return
    if scope["type"] == "http":
        await _finish(scope, send)
        return
    last = ending_of(error)
    with suppress(RuntimeError, OSError):  # nothing can be sent any more
        await send({"type": "websocket.close", "code": last.close, "reason": last.reason})


async def _finish(scope: Scope, send: Send) -> None:
    """End a response that has begun; break it off if its length was announced, or if its client
    reads nothing."""
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await send({"type": "http.response.body"})
    except (RuntimeError, OSError):
        break_off(scope)


async def _refuse(error: MastreamError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with a problem, or accept a socket and end it, so that browsers learn why."""
    if scope["type"] == "http":
        await refusal_of(error)(scope, receive, send)
        return
    socket = WebSocket(scope, receive, send)
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in scope["subprotocols"] else None)
    await send_ending(socket, ending_of(error), CLOSE_SECONDS)


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""
