"""One socket of a stream: messages out, messages in, and why it ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterator

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from clients.python.errors import ClientError, GoneAway
from clients.python.foreign import closed, message_errors, of_failure
from protocol import (
    End,
    Failure,
    GoingAway,
    MaskHeader,
    Open,
    Ping,
    Pong,
    Ready,
    ServerMessage,
    parse_server,
    serialise,
    unpack_mask,
)

MAX_RESULT_BYTES = 2**28
OPEN_SECONDS = 30.0
CLOSE_SECONDS = 2.0
"""How long to wait for the close after a fatal error."""

Dial = Callable[[str], Awaitable[ClientConnection]]
"""Opens a socket at an address. Raises a ClientError."""

Received = tuple[MaskHeader, bytes] | ServerMessage
"""A mask's header and payload, or a text message."""


class Connection:
    """An open socket whose server has answered ``open`` with :attr:`ready`.

    Mutable state: the server's last message, which explains the close that follows it.
    """

    ready: Ready

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._going_away: GoingAway | None = None
        self._fatal: Failure | None = None

    @classmethod
    async def open(cls, dial: Dial, address: str, request: Open) -> Connection:
        """Open a socket, send ``open`` and wait for ``ready``. Raises a ClientError."""
        connection = cls(await dial(address))
        try:
            await connection._greet(request)
        except BaseException:
            await connection.close()
            raise
        return connection

    @property
    def is_refused(self) -> bool:
        """Return whether the server ended the stream with a fatal error."""
        return self._fatal is not None

    async def send_frame(self, message: bytes) -> bool:
        """Send a frame; return whether the socket was still open. The receiver finds out why it was
        closed, since it has yet to read the server's last messages."""
        try:
            await self._socket.send(message)
        except ConnectionClosed:
            return False
        return True

    async def send(self, message: Open | End | Pong) -> None:
        """Send a message. Ignore a closed socket, as :meth:`send_frame` does."""
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(serialise(message))

    async def receive(self) -> Received:
        """Return the next message; answer a ping. Raises a ClientError that says why the
        connection ended."""
        with self._errors():
            async with asyncio.timeout(CLOSE_SECONDS if self._fatal else None):
                data = await self._socket.recv()
            if isinstance(data, bytes):
                return unpack_mask(data, MAX_RESULT_BYTES)
            message = parse_server(data)
        if isinstance(message, GoingAway):
            self._going_away = message
        elif isinstance(message, Failure) and message.fatal:
            self._fatal = message
        elif isinstance(message, Ping):
            await self.send(Pong())
        return message

    async def close(self) -> None:
        """Close the socket. Idempotent."""
        await self._socket.close()

    def abort(self) -> None:
        """Drop a connection that is lost, without the close handshake. Idempotent."""
        self._socket.transport.abort()

    async def _greet(self, request: Open) -> None:
        with message_errors():
            async with asyncio.timeout(OPEN_SECONDS):
                await self.send(request)
                while not isinstance(message := await self.receive(), Ready):
                    pass
        self.ready = message

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Translate whatever ends the stream; a fatal ``error`` before it takes precedence."""
        try:
            with message_errors():
                yield
        except ConnectionClosed as error:
            raise self._ending(error) from error
        except ClientError as error:
            if self._fatal is None:
                raise
            raise of_failure(self._fatal) from error

    def _ending(self, error: ConnectionClosed) -> ClientError:
        if self._going_away is not None and self._fatal is None:
            last = self._going_away
            after = last.reconnect_after_ms / 1000
            return GoneAway(
                "The server is stopping; try again later.", "", after, last.taken, last.url
            )
        return closed(error, self._fatal)
