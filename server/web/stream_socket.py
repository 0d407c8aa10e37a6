"""One stream socket from its first message to its close.

Four tasks: the reader (socket -> listener -> inbox), the feeder (inbox -> decoder -> worker), the
writer (outbox -> packed answer -> socket) and a watch over silence. When reading ends, for
whatever reason the client gave, what was taken from it is still answered; then comes the ending.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from starlette.websockets import WebSocket, WebSocketDisconnect

import protocol
from protocol import DropCause, DropPolicy, ProtocolError
from server.errors import MastreamError, TooLarge, TooSlow, Undecodable, strip
from server.frame import Frame, Mask
from server.metrics import Metrics
from server.settings import StreamSettings
from server.sources.hardware import Hardware
from server.sources.packets import Packet
from server.streams.byte_budget import ByteBudget
from server.streams.client_messages import ClientMessages, Opened
from server.streams.ending import ENDED, GOING_AWAY, Ending, EndStream, ending_of
from server.streams.frame_ledger import FrameLedger
from server.streams.inbox import Inbox
from server.streams.outbox import Outbox
from server.threads import PicturePool
from server.web.allowance import MESSAGES_A_SECOND, MESSAGES_AT_ONCE, Allowance, small_cost
from server.workers.serving import Serving

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StreamServices:
    """What all conversations share."""

    worker: Serving
    pool: PicturePool
    metrics: Metrics
    settings: StreamSettings
    budget: ByteBudget
    hardware: Callable[[], Hardware | None] = lambda: None
    """The GPU that decodes, once it is known."""


class StreamSocket:
    """Mutable state: when the socket was last alive, what it may still send, since when a send is
    under way, the reading task, and how it will all end."""

    def __init__(self, socket: WebSocket, services: StreamServices) -> None:
        self._socket = socket
        self._services = services
        self._settings = services.settings
        self._ledger = FrameLedger(services.budget, services.settings.stream_bytes)
        self._inbox = Inbox(ledger=self._ledger)
        self._outbox = Outbox(services.settings.outbox, self._count_slow, self._ledger)
        self._messages = ClientMessages(
            services.worker,
            services.settings,
            services.metrics,
            self._inbox,
            self._outbox,
            self._ledger,
            hardware.pictures if (hardware := services.hardware()) else None,
        )
        self._alive = time.monotonic()
        self._allowance = Allowance(MESSAGES_A_SECOND, MESSAGES_AT_ONCE, self._alive)
        self._sending: float | None = None
        self._reading: asyncio.Task[None] | None = None
        self._ending = ENDED

    def __repr__(self) -> str:
        return f"<StreamSocket {self._messages!r} {self._outbox!r}>"

    async def run(self) -> None:
        """Talk until either side ends it; the session is freed, then the socket closed."""
        try:
            last = await self._talk()
        finally:
            self._messages.close()
            self._ledger.close()
            self._inbox.discard()
            self._outbox.discard()
        if last:
            await say(self._socket, last, self._patience())

    def leave(self) -> None:
        """Take nothing more; end with ``going_away`` when all that was taken is answered."""
        if self._reading and not self._reading.done():
            self._ending = GOING_AWAY
            self._reading.cancel()
            # A task that is cancelled before its first step never comes to its `finally`.
            self._inbox.close()

    async def _talk(self) -> Ending | None:
        """How to end, or None where the client is gone."""
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(self._watch())
                self._reading = tasks.create_task(self._read())
                tasks.create_task(self._feed())
                await self._write()
                watch.cancel()
        except ExceptionGroup as group:
            ended = _broken_by(group.exceptions[0])
            # asyncio's TaskGroup leaves its error in a cycle with its own frame, and the frames
            # of ours hold masks.
            strip(group)
            return ended
        return self._ending

    async def _read(self) -> None:
        try:
            await self._greet()
            while True:
                await self._wait_to_read()
                self._messages.handle(await self._receive(), self._alive)
        except EndStream as leave:
            self._ending = leave.last
        except (MastreamError, ProtocolError) as error:
            self._ending = ending_of(error)
        finally:
            self._inbox.close()

    async def _greet(self) -> None:
        """Wait a moment for the first message; a silent client is given its ``ready`` too."""
        try:
            async with asyncio.timeout(self._settings.open_seconds):
                first = await self._receive()
        except TimeoutError:
            self._messages.assume()
        else:
            self._messages.handle(first, self._alive)

    async def _wait_to_read(self) -> None:
        """The socket is not read while a window of frames waits that may not be lost; under
        ``every``, while so many are unanswered; and while all streams hold too much."""
        await self._inbox.wait_for_room(self._settings.window)
        await self._ledger.wait_to_read()
        opened = self._messages.opened
        if opened and opened.policy is DropPolicy.EVERY:
            await self._ledger.wait_for_answers(self._settings.window)

    async def _receive(self) -> str | bytes:
        # Messages that are here already are received without a pause; others must have a turn.
        await asyncio.sleep(self._allowance.spend(0, time.monotonic()))
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"], message.get("reason"))
        self._alive = time.monotonic()
        data: str | bytes = message.get("bytes") or message.get("text") or b""
        self._allowance.spend(small_cost(len(data)), self._alive)
        return data

    async def _feed(self) -> None:
        """Packets become frames, in order; when all are answered the outbox is closed."""
        while (packet := await self._inbox.take()) is not None:
            opened = self._messages.opened
            assert opened, "a packet came before its session"
            await self._ledger.wait_to_decode()
            if opened.policy is DropPolicy.EVERY:
                await self._ledger.wait_for_space()
            frame = await self._decode(packet, opened)
            if frame is not None:
                await self._offer(frame, opened)
        if self._messages.opened:
            await self._services.worker.settled(self._messages.opened.session)
        self._outbox.close()

    async def _decode(self, packet: Packet, opened: Opened) -> Frame | None:
        """The frame, or None where its picture is refused: then that is its answer."""
        try:
            reading = opened.decoder.read(packet)
            return await self._services.pool.run(reading.cost, reading.decode)
        except (Undecodable, TooLarge) as error:
            self._messages.refuse(packet, error)
            return None

    async def _offer(self, frame: Frame, opened: Opened) -> None:
        self._services.metrics.stage("wait", frame.wait)
        self._services.metrics.stage("decode", frame.decode)
        if frame.replay:
            self._ledger.free([frame.seq])
        else:
            self._ledger.picture(frame.seq, frame.nbytes)
        if opened.policy is DropPolicy.EVERY or frame.replay:
            await self._services.worker.wait_for_room(opened.session)
        self._services.worker.offer(opened.session, frame)

    async def _write(self) -> None:
        while (item := await self._outbox.take()) is not None:
            if isinstance(item, Mask):
                await self._answer(item)
            else:
                await self._send({"text": protocol.serialise(item)})
            self._outbox.sent(item)

    async def _answer(self, mask: Mask) -> None:
        opened = self._messages.opened
        assert opened, "a mask came before its session"
        began = time.monotonic()
        answer = await self._services.pool.run(opened.answers.cost(mask), opened.answers.pack, mask)
        packed = time.monotonic()
        await self._send({"bytes": answer})
        self._measure(mask, began, packed, time.monotonic())

    def _measure(self, mask: Mask, began: float, packed: float, sent: float) -> None:
        metrics = self._services.metrics
        metrics.stage("encode", packed - began)
        metrics.stage("send", sent - packed)
        metrics.stage("total", sent - mask.frame.arrived)

    async def _send(self, content: dict[str, str | bytes]) -> None:
        self._sending = time.monotonic()
        await self._socket.send({"type": "websocket.send", **content})
        self._sending = None

    async def _watch(self) -> None:
        """Raise TooSlow when the client has not read, or not said anything, for too long."""
        idle, slow = self._settings.idle_seconds, self._settings.slow_seconds
        while True:
            await asyncio.sleep(min(1.0, idle / 4, slow / 4))
            now = time.monotonic()
            if self._sending is not None and now - self._sending > slow:
                raise TooSlow(f"nothing was read for {slow:g} s; read faster, or ask for less")
            if self._ledger.unanswered:
                self._alive = now
            if now - self._alive > idle:
                raise TooSlow(f"nothing was sent for {idle:g} s; connect again when there is more")

    def _patience(self) -> float:
        """Seconds that a client which does not read has left; none where they are over."""
        now = time.monotonic()
        since = now if self._sending is None else self._sending
        return max(0.0, self._settings.slow_seconds - (now - since))

    def _count_slow(self) -> None:
        self._services.metrics.frame("dropped", DropCause.CLIENT_SLOW)


async def say(socket: WebSocket, last: Ending, patience: float) -> None:
    """Send the ending and close; a client that reads nothing for ``patience`` seconds is
    closed without it."""
    with suppress(WebSocketDisconnect):
        with suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await socket.send_text(protocol.serialise(last.message))
        await socket.close(last.close, last.reason)


def _broken_by(error: Exception) -> Ending | None:
    """The end that a failure makes of a stream; None where its client is gone."""
    if isinstance(error, WebSocketDisconnect):
        return None
    if not isinstance(error, MastreamError):
        _log.error("a stream failed", exc_info=error)
    return ending_of(error)
