"""The response to a request that is refused before it reaches the application."""

from __future__ import annotations

import json
from http import HTTPStatus

from server.errors import MastreamError
from server.web.problems import MEDIA_TYPE


def refusal(error: MastreamError) -> bytes:
    """Return the bytes of an HTTP response that carries the error as a problem and announces that
    the connection closes."""
    body = json.dumps(error.problem()).encode()
    lines = (
        f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(body)}",
        "connection: close",
    )
    return "\r\n".join(lines).encode("ascii") + b"\r\n\r\n" + body
