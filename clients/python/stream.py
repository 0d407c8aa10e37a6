"""An open stream: a task sends frames while the caller receives masks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from functools import partial

from clients.python.backlog import Backlog
from clients.python.connection import Connection, Dial
from clients.python.errors import ClientError
from clients.python.following import after, answered, entrance, onward
from clients.python.foreign import message_errors
from clients.python.ledger import Ledger
from clients.python.mask import Mask, unpack
from clients.python.pictures import Frames, Pictures, encode_picture
from clients.python.reconnecting import (
    Backoff,
    Event,
    OnEvent,
    Resumed,
    check_same_model,
    may_pass,
    may_resume,
)
from clients.python.retries import Retries
from clients.python.sending import Sending, cancelled
from protocol import (
    Dropped,
    End,
    Failure,
    MaskHeader,
    MemoryState,
    Open,
    Ready,
    ServerMessage,
)

OnDropped = Callable[[Dropped], None]
OnFailure = Callable[[Failure], None]


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Called in the event loop: for frames without a mask, and when a connection is lost and
    resumed."""

    dropped: OnDropped | None = None
    failure: OnFailure | None = None
    event: OnEvent | None = None


class Stream:
    """An open stream; made by :func:`connect`. ``ledger`` counts the frames by outcome.

    With a ``backoff`` it survives the loss of its connection: :meth:`segment` connects again,
    resumes the session and repeats the frames that have no answer, so that its masks are those of
    an unbroken stream. Further mutable state: the connection, the token that resumes its session,
    the frames that may have to be sent again, and the attempts to connect again.
    """

    ready: Ready

    def __init__(
        self,
        address: str,
        dial: Dial,
        request: Open,
        decode: bool = True,
        callbacks: Callbacks | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.ledger = Ledger()
        self._route = entrance(address)
        self._dial = dial
        self._request = request
        self._decode = decode
        self._callbacks = callbacks or Callbacks()
        self._backoff = backoff
        self._connection: Connection | None = None
        self._token: str | None = None
        self._backlog = Backlog(0)
        self._retries = Retries(backoff or Backoff(), self._report)
        self._pictures: Pictures | None = None
        self._sending: Sending
        self._sender: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect, send ``open`` and wait for ``ready``. Raises a ClientError."""
        self._connection = await self._enter()
        self.ready = self._connection.ready
        self._token = self.ready.resume
        self._backlog = Backlog(self.ready.model.get("memory_horizon"))
        keeps = self._backoff is not None
        self._sending = Sending(self._connection, self.ledger, self._backlog, keeps)

    async def _enter(self) -> Connection:
        """Connect for the first time; follow servers that name another one."""
        while True:
            try:
                return await Connection.open(self._dial, self._route.address, self._request)
            except ClientError as error:
                self._route = onward(self._route, error)

    async def segment(self, frames: Frames) -> AsyncGenerator[Mask]:
        """Yield the masks of ``frames`` as they arrive, until every frame is answered.

        May be called once per stream. Raises what ``frames`` raises, after the masks of the
        earlier frames, or a ClientError if the stream ends early and cannot be resumed.
        """
        if self._sender is not None:
            raise ClientError("A stream carries one sequence of frames; open another stream.")
        encode = partial(encode_picture, encoding=self._request.input)
        self._pictures = Pictures(frames, encode)
        self._sender = asyncio.create_task(self._sending.run(self._pictures))
        try:
            while (mask := await self._next_mask()) is not None:
                yield mask
            await self._sender
        finally:
            await self._stop_sending()

    async def aclose(self) -> None:
        """Stop sending and close the socket. Idempotent."""
        await self._stop_sending()
        if self._connection is not None:
            await self._connection.close()

    async def _stop_sending(self) -> None:
        if self._sender is not None:
            await cancelled(self._sender)  # segment() has raised its error or a more important one
            await self._sending.stop()
        if self._pictures is not None:
            await self._pictures.aclose()

    async def _next_mask(self) -> Mask | None:
        """Return the next mask, or None at the end; resume the session as often as it takes."""
        while True:
            try:
                message = await self._receive()
            except ClientError as error:
                if self._is_complete(error):
                    return None
                await self._resume(error)
                continue
            if isinstance(message, Mask | End):
                return message if isinstance(message, Mask) else None

    async def _receive(self) -> Mask | ServerMessage | None:
        received = await self._link.receive()
        if isinstance(received, tuple):
            with message_errors():
                return self._mask(*received, time.monotonic())
        self._note(received)
        return received

    def _mask(self, header: MaskHeader, payload: bytes, now: float) -> Mask | None:
        """Return a mask; None if it answers no unanswered frame."""
        sent = self.ledger.mask(header.seq)
        self._backlog.mask(header.seq, header.memory.reset is not None)
        self._token = self._link.ready.resume
        self._progress()
        if sent is None:
            return None
        labels, overlay = unpack(header, payload, self._decode)
        return Mask(header, labels, overlay, sent.frame, now - sent.at)

    def _note(self, message: ServerMessage) -> None:
        match message:
            case Dropped():
                self.ledger.drop(message.seqs, message.cause)
                self._backlog.drop(message.seqs, message.cause)
                self._progress()
                if self._callbacks.dropped is not None:
                    self._callbacks.dropped(message)
            case Failure():
                self._note_failure(message)

    def _note_failure(self, message: Failure) -> None:
        if message.seq is not None:
            self.ledger.fail(message.seq)
            self._backlog.fail(message.seq)
            self._progress()
        if not message.fatal and self._callbacks.failure is not None:
            self._callbacks.failure(message)

    def _progress(self) -> None:
        """Record that a frame was answered: the connection works, and there is room."""
        self._retries.succeeded()
        self._route = answered(self._route)
        self._sending.answered()

    @property
    def _link(self) -> Connection:
        assert self._connection, "the stream was not opened"
        return self._connection

    def _is_complete(self, error: ClientError) -> bool:
        """Return whether only the server's ``end`` is missing from a stream that could be
        resumed."""
        resumable = self._backoff is not None and may_resume(error) and not self._link.is_refused
        return resumable and self._sending.has_ended and not self.ledger.unanswered

    async def _resume(self, error: ClientError) -> None:
        """Connect again until the session continues. Raises a ClientError if it cannot."""
        if self._backoff is None or not may_resume(error) or self._link.is_refused:
            raise error
        self._link.abort()
        await self._sending.pause()
        while True:
            self._route = after(self._route, error)
            await self._retries.wait(error, at_once=self._route.is_named)
            try:
                request = self._request.resuming(self._token)
                connection = await Connection.open(self._dial, self._route.address, request)
            except ClientError as failed:
                if not may_pass(failed):
                    raise
                error = failed
            else:
                self._continue(connection, self._retries.seconds)
                return

    def _report(self, event: Event) -> None:
        if self._callbacks.event is not None:
            self._callbacks.event(event)

    def _continue(self, connection: Connection, after: float) -> None:
        """Receive from a new connection; replay the frames that its memory lacks, and repeat those
        without an answer."""
        before, self.ready = self.ready, connection.ready
        self._connection = connection
        check_same_model(before, connection.ready)
        memory, rebuilds = connection.ready.memory, False
        if memory in (MemoryState.COLD, MemoryState.NEW):
            # Until a mask has arrived, the server may have only a part of the replay.
            self._token = None
            rebuilds = self._backlog.can_rebuild
            memory = MemoryState.REBUILT if rebuilds else MemoryState.COLD
        self._sending.resume(connection, rebuilds)
        self._report(Resumed(memory, after))
