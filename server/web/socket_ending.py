"""The end of a socket: its last message, and whether its client may want to resume."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

import protocol
from server.errors import MastreamError, TooSlow
from server.streams.ending import Ending, ending_of

_BROKEN = (1001, 1006, 1011)
"""The close codes of a client that may come back: it has navigated away or restarts, the connection
broke, or its own watchdog has given the connection up."""

_log = logging.getLogger(__name__)


async def send_ending(socket: WebSocket, last: Ending, seconds: float) -> None:
    """Send the last message and close; close without it if the client reads nothing for
    ``seconds``."""
    with suppress(WebSocketDisconnect):
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await socket.send_text(protocol.serialise(last.message))
        await socket.close(last.close, last.reason)


def is_lost(error: Exception) -> bool:
    """Return whether the client may want to resume: its connection broke, or stood still."""
    if isinstance(error, WebSocketDisconnect):
        return error.code in _BROKEN
    return isinstance(error, TooSlow)


def ending_after(error: Exception) -> Ending | None:
    """Return how a stream ends after an error; None if its client is gone."""
    if isinstance(error, WebSocketDisconnect):
        return None
    if not isinstance(error, MastreamError):
        _log.error("a stream failed", exc_info=error)
    return ending_of(error)
