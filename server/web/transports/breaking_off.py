"""Breaking a response off whose end cannot be sent: the client learns that it is incomplete, and
nothing in the server waits for a client that does not read."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping
from functools import partial
from typing import Any, Protocol

_KEY = "break_off"


class Response(Protocol):
    """What uvicorn knows of one request and its response."""

    transport: asyncio.Transport
    message_event: asyncio.Event
    disconnected: bool
    response_complete: bool


def let_break_off(state: MutableMapping[str, Any], response: Response | None) -> None:
    """Let :func:`break_off` end this response, given the state in its scope."""
    if response is not None:
        state[_KEY] = partial(_abort, response)


def break_off(scope: Mapping[str, Any]) -> None:
    """Abort the connection of a request unless its response is complete. Idempotent."""
    if abort := scope.get("state", {}).get(_KEY):
        abort()


def _abort(response: Response) -> None:
    if response.response_complete:
        return
    # Otherwise uvicorn logs that the application has not completed the response.
    response.disconnected = True
    response.message_event.set()
    response.transport.abort()
