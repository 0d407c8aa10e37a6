"""The limit for bodies of requests that are read into memory as a whole."""

from __future__ import annotations

import re
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.errors import TooLarge
from server.web.problems import refusal_of

BODY_BYTES = 2**20
"""Maximum bytes; no JSON that the server reads has more than a few KiB."""

_STREAMED = re.compile(r"/v1/(videos|uploads(/[^/]*)?)/?")
"""Paths whose bodies are written to the disk as they arrive, and have their own limits."""


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """ASGI middleware that answers with 413 as soon as more has arrived. What arrives while the
    response is being sent is only discarded."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or _STREAMED.fullmatch(scope["path"]):
            await self.app(scope, receive, send)
            return
        taken, begun = 0, False

        async def receive_some() -> Message:
            """Pretend that the client has left once it has sent too much."""
            nonlocal taken
            message = await receive()
            if not begun:
                taken += len(message.get("body", b""))
            return message if taken <= BODY_BYTES else {"type": "http.disconnect"}

        async def send_unless_refused(message: Message) -> None:
            nonlocal begun
            if taken <= BODY_BYTES:
                begun = True
                await send(message)

        await self.app(scope, receive_some, send_unless_refused)
        if taken > BODY_BYTES:
            error = TooLarge(
                f"The request's body is over the limit of {BODY_BYTES} bytes: send less."
            )
            await refusal_of(error)(scope, receive, send)
