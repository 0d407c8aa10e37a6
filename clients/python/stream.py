"""An open stream: a task sends frames while the caller takes masks."""

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
FAREWELL_SECONDS = 2.0
"""How long the close may take after a fatal error."""

OnDropped = Callable[[Dropped], None]
OnFailure = Callable[[Failure], None]


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """One frame's result.

    ``labels`` is (header.height, header.width) uint8, None where no mask was asked for or none
    is to be decoded. ``overlay`` is a JPEG, empty unless asked for. ``frame`` is the very frame
    that was given. ``round_trip`` is in seconds, from sending to receiving.
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
    """An open stream; made by :func:`connect`. ``ledger`` counts what became of each frame.

    ``on_dropped`` and ``on_failure`` are called, in the event loop, for frames without a mask.
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
        """Say what we want and wait until the server is ready. Raises a ClientError."""
        with self._errors():
            async with asyncio.timeout(OPEN_SECONDS):
                await self._say(self._request)
                while not isinstance(message := await self._receive(), Ready):
                    pass
            self.ready = message

    async def segment(self, frames: Frames) -> AsyncGenerator[Mask]:
        """The masks of ``frames``, as they come; ends when every frame was answered. Once only.

        Raises what ``frames`` raised, after the masks of the frames before it, or a ClientError
        where the stream ends before its time.
        """
        if self._sender is not None:
            raise ClientError("a stream carries one sequence of frames: open another")
        encode = partial(encode_picture, encoding=self._request.input)
        self._pictures = Pictures(frames, encode)
        self._sender = asyncio.create_task(self._send(self._pictures))
        try:
            while (mask := await self._next_mask()) is not None:
                yield mask
            await self._sender
        finally:
            await self._stop_sending()

    async def aclose(self) -> None:
        """Stop sending and close the socket. Twice is harmless."""
        await self._stop_sending()
        await self._socket.close()

    async def _send(self, pictures: Pictures) -> None:
        """Send all pictures, then ``end``; also where the pictures break off.

        A picture is asked for when there is room for it, so a live one is as new as can be.
        """
        try:
            async for frame, data in pictures:
                seq = self.ledger.send(frame, time.monotonic())
                header = FrameHeader(seq, frame.pts, frame.reset)
                await self._socket.send(pack(header, data))
                await self._wait_for_room()
        except ConnectionClosed:
            return  # the receiver meets it too, and knows why
        except Exception:
            await self._say(End())
            raise
        await self._say(End())

    async def _say(self, message: Open | End | Pong) -> None:
        """Send a message. On a closed socket the receiver finds out why: what the server said
        before it closed is still to be read."""
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
                self._sender.exception()  # segment() has raised it, or what made it moot
        if self._pictures is not None:
            await self._pictures.aclose()

    async def _next_mask(self) -> Mask | None:
        """The next mask, or None at the end."""
        with self._errors():
            while not isinstance(message := await self._receive(), Mask | End):
                pass
            return message if isinstance(message, Mask) else None

    async def _receive(self) -> Mask | ServerMessage | None:
        async with asyncio.timeout(FAREWELL_SECONDS if self._fatal else None):
            data = await self._socket.recv()
        if isinstance(data, bytes):
            return self._mask(data, time.monotonic())
        message = parse_server(data)
        self._note(message)
        if isinstance(message, Ping):
            await self._say(Pong())
        return message

    def _mask(self, data: bytes, now: float) -> Mask | None:
        """The mask in a binary message; None where it answers a frame that needs no answer."""
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
        """Whatever ends the stream, a fatal ``error`` that came before is what the user gets."""
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
            return GoneAway("the server is going away: come back", "", after)
        return closed(error, self._fatal)
