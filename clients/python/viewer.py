"""Watch the masks of a stream that the server pulls: a socket that only receives."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from clients.python.client import open_stream_socket
from clients.python.connection import MAX_RESULT_BYTES, OPEN_SECONDS
from clients.python.errors import ClientError, GoneAway
from clients.python.following import answered, entrance, onward
from clients.python.foreign import closed, message_errors, of_failure
from clients.python.mask import Mask, unpack
from clients.python.pictures import Frame
from protocol import (
    End,
    Failure,
    GoingAway,
    MemoryState,
    Open,
    Ping,
    Pong,
    Ready,
    ServerMessage,
    parse_server,
    serialise,
    unpack_mask,
)


async def view(
    address: str,
    request: Open,
    decode: bool,
    headers: Mapping[str, str] | None,
    on_ready: Callable[[MemoryState], None],
) -> AsyncGenerator[Mask]:
    """Yield the masks that the socket at ``address`` sends, until the stream ends.

    ``on_ready`` receives the state of the stream's memory once the server has answered. If the
    socket names another server that has the stream, the masks come from there. Raises a ClientError
    if the stream ends in any other way.
    """
    route = entrance(address)
    while True:
        try:
            once = _view(route.address, request, decode, headers, on_ready)
            async with aclosing(once) as masks:
                async for mask in masks:
                    route = answered(route)
                    yield mask
        except ClientError as error:
            route = onward(route, error)
        else:
            return


async def _view(
    address: str,
    request: Open,
    decode: bool,
    headers: Mapping[str, str] | None,
    on_ready: Callable[[MemoryState], None],
) -> AsyncGenerator[Mask]:
    """Yield the masks of one connection."""
    socket = await open_stream_socket(address, headers)
    try:
        on_ready((await _greet(socket, request)).memory)
        while (received := await _receive(socket)) is not None:
            if isinstance(received, bytes):
                with message_errors():
                    mask = _mask(received, decode)
                yield mask
    finally:
        await socket.close()


async def _greet(socket: ClientConnection, request: Open) -> Ready:
    """Send ``open`` and return ``ready``, which comes before the first mask."""
    with message_errors():
        async with asyncio.timeout(OPEN_SECONDS):
            with suppress(ConnectionClosed):  # the server's last message has yet to be read
                await socket.send(serialise(request))
            while not isinstance(answer := await _receive(socket), Ready):
                pass
            return answer


async def _receive(socket: ClientConnection) -> bytes | ServerMessage | None:
    """Return the next message, None at the end. Raises a ClientError."""
    try:
        with message_errors():
            data = await socket.recv()
            message = data if isinstance(data, bytes) else parse_server(data)
            if isinstance(message, Ping):
                await socket.send(serialise(Pong()))
    except ConnectionClosed as error:
        raise closed(error) from error
    match message:
        case End():
            return None
        case Failure(fatal=True):
            raise of_failure(message)
        case GoingAway():
            wait = message.reconnect_after_ms / 1000
            sentence = "The server is stopping; try again later."
            raise GoneAway(sentence, "", wait, url=message.url)
    return message


def _mask(data: bytes, decode: bool) -> Mask:
    header, payload = unpack_mask(data, MAX_RESULT_BYTES)
    labels, overlay = unpack(header, payload, decode)
    return Mask(header, labels, overlay, Frame(overlay, header.pts), math.nan)
