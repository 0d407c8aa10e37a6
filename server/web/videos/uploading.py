"""Counts the uploads that are being received; refuses those over a limit before they are read."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import Request

from server.admission import Places
from server.web.access.auth import client_of


async def count_upload(request: Request) -> AsyncIterator[None]:
    """Hold a place while a request's body is received. Raises TooMany or NoCapacity."""
    places: Places = request.app.state.service.parts.uploading
    with places.take(client_of(request)):
        yield
