"""An open stream: a task sends frames while the caller receives masks."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from clients.python.errors import ClientError, GoneAway
from clients.python.foreign import closed, message_errors, of_failure
from clients.python.ledger import Ledger
from clients.python.pictures import Frame, Frames, Pictures, encode_picture
from protocol import (
    Dropped,
    End,
    Failure,
    FrameHeader,
    GoingAway,
    MaskEncoding,
    MaskHeader,
    Open,
    Ping,
    Pong,
    Ready,
    ServerMessage,
    decode_mask,
    pack,
    parse_server,
    serialise,
    split_overlay,
    unpack_mask,
)

MAX_RESULT_BYTES = 2**28
OPEN_SECONDS = 30.0
CLOSE_SECONDS = 2.0
"""How long to wait for the close after a fatal error."""

OnDropped = Callable[[Dropped], None]
OnFailure = Callable[[Failure], None]


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """The result of one frame.

    ``labels`` is (header.height, header.width) uint8, None if masks are not requested or not
    decoded. ``overlay`` is a JPEG, empty unless requested. ``frame`` is the frame object that was
    sent. ``round_trip`` is in seconds, from sending to receiving.
    """

    header: MaskHeader
    labels: NDArray[np.uint8] | None
    overlay: bytes
    frame: Frame
    round_trip: float

    @property
    def seq(self) -> int:
        return self.header.seq


class Stream:
    """An open stream; made by :func:`connect`. ``ledger`` counts the frames by outcome.

    ``on_dropped`` and ``on_failure`` are called in the event loop for frames without a mask.
    """

    ready: Ready

    def __init__(
        self,
        socket: ClientConnection,
        request: Open,
        decode: bool = True,
        on_dropped: OnDropped | None = None,
        on_failure: OnFailure | None = None,
    ) -> None:
        self.ledger = Ledger()
        self.on_dropped = on_dropped
        self.on_failure = on_failure
        self._socket = socket
        self._request = request
        self._decode = decode
        self._room = asyncio.Event()
        self._pictures: Pictures | None = None
        self._sender: asyncio.Task[None] | None = None
        self._going_away: GoingAway | None = None
        self._fatal: Failure | None = None

    async def open(self) -> None:
        """Send ``open`` and wait for ``ready``. Raises a ClientError."""
        with self._errors():
            async with asyncio.timeout(OPEN_SECONDS):
                await self._send_message(self._request)
                while not isinstance(message := await self._receive(), Ready):
                    pass
            self.ready = message

    async def segment(self, frames: Frames) -> AsyncGenerator[Mask]:
        """Yield the masks of ``frames`` as they arrive, until every frame is answered.

        May be called once per stream. Raises what ``frames`` raises, after the masks of the
        earlier frames, or a ClientError if the stream ends early.
        """
        if self._sender is not None:
            raise ClientError("A stream carries one sequence of frames; open another stream.")
        encode = partial(encode_picture, encoding=self._request.input)
        self._pictures = Pictures(frames, encode)
        self._sender = asyncio.create_task(self._send_pictures(self._pictures))
        try:
            while (mask := await self._next_mask()) is not None:
                yield mask
            await self._sender
        finally:
            await self._stop_sending()

    async def aclose(self) -> None:
        """Stop sending and close the socket. Idempotent."""
        await self._stop_sending()
        await self._socket.close()

    async def _send_pictures(self, pictures: Pictures) -> None:
        """Send all pictures, then ``end``, also if reading the pictures fails.

        Pictures are requested only when they can be sent, so live frames stay fresh.
        """
        try:
            async for frame, data in pictures:
                seq = self.ledger.send(frame, time.monotonic())
                header = FrameHeader(seq, frame.pts, frame.reset)
                await self._socket.send(pack(header, data))
                await self._wait_for_room()
        except ConnectionClosed:
            return  # the receiver gets it too, with the reason
        except Exception:
            await self._send_message(End())
            raise
        await self._send_message(End())

    async def _send_message(self, message: Open | End | Pong) -> None:
        """Send a message. Ignore a closed socket: the receiver finds out why, since it has yet to
        read the server's last messages."""
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(serialise(message))

    async def _wait_for_room(self) -> None:
        while self.ledger.unanswered >= self.ready.window:
            self._room.clear()
            await self._room.wait()

    async def _stop_sending(self) -> None:
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])
            if not self._sender.cancelled():
                self._sender.exception()  # segment() has raised it or a more important one
        if self._pictures is not None:
            await self._pictures.aclose()

    async def _next_mask(self) -> Mask | None:
        """Return the next mask, or None at the end."""
        with self._errors():
            while not isinstance(message := await self._receive(), Mask | End):
                pass
            return message if isinstance(message, Mask) else None

    async def _receive(self) -> Mask | ServerMessage | None:
        async with asyncio.timeout(CLOSE_SECONDS if self._fatal else None):
            data = await self._socket.recv()
        if isinstance(data, bytes):
            return self._mask(data, time.monotonic())
        message = parse_server(data)
        self._note(message)
        if isinstance(message, Ping):
            await self._send_message(Pong())
        return message

    def _mask(self, data: bytes, now: float) -> Mask | None:
        """Return the mask in a binary message; None if it answers no unanswered frame."""
        header, payload = unpack_mask(data, MAX_RESULT_BYTES)
        sent = self.ledger.mask(header.seq)
        self._room.set()
        if sent is None:
            return None
        packed, overlay = split_overlay(header, payload)
        wanted = self._decode and header.encoding is not MaskEncoding.NONE
        size = header.width, header.height
        labels = decode_mask(packed, header.encoding, *size) if wanted else None
        return Mask(header, labels, overlay, sent.frame, now - sent.at)

    def _note(self, message: ServerMessage) -> None:
        match message:
            case Dropped():
                self.ledger.drop(message.seqs, message.cause)
                if self.on_dropped is not None:
                    self.on_dropped(message)
            case Failure():
                self._note_failure(message)
            case GoingAway():
                self._going_away = message
        self._room.set()

    def _note_failure(self, message: Failure) -> None:
        if message.seq is not None:
            self.ledger.fail(message.seq)
        if message.fatal:
            self._fatal = message
        elif self.on_failure is not None:
            self.on_failure(message)

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
            after = self._going_away.reconnect_after_ms / 1000
            return GoneAway("The server is stopping; try again later.", "", after)
        return closed(error, self._fatal)
