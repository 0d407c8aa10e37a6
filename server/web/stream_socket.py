"""One stream socket from its first message to its close.

Four tasks: the reader (socket -> messages -> inbox), the feeder (inbox -> decoder -> worker), the
writer (outbox -> packed answer -> socket) and a watch for timeouts. When reading ends because of
what the client sent, or because the server drains, all frames taken are still answered; then the
last message is sent and the socket closed.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from starlette.websockets import WebSocket, WebSocketDisconnect

import protocol
from protocol import DropCause, DropPolicy, ProtocolError
from server.errors import (
    MastreamError,
    NoCapacity,
    TakenOver,
    TooLarge,
    TooMany,
    Undecodable,
    strip,
)
from server.frame import Frame, Mask
from server.sources.pictures.packets import Packet
from server.streams.client_messages import ClientMessages
from server.streams.ending import ENDED, Ending, EndStream, going_away, refusal
from server.streams.frame_ledger import FrameLedger
from server.streams.inbox import Inbox
from server.streams.opening import Opened
from server.streams.outbox import Outbox, Packed
from server.web.frame_times import measure
from server.web.message_pace import MessagePace
from server.web.socket_ending import ending_after, is_lost, send_ending
from server.web.stream_services import StreamServices
from server.web.timeouts import Timeouts


class StreamSocket:
    """One stream socket; limits apply to ``client``.

    Mutable state: the timeouts and the pace of messages, the tasks that read and feed, how the
    stream will end, whether the socket was lost, and whether a newer socket has the session.
    """

    def __init__(
        self,
        socket: WebSocket,
        services: StreamServices,
        is_recorded: bool = False,
        client: str = "",
    ) -> None:
        self._socket = socket
        self._client = client
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
            services.recordings if is_recorded else None,
            services.resuming,
            client,
        )
        now = time.monotonic()
        self._timeouts = Timeouts(self._settings.idle_seconds, self._settings.slow_seconds, now)
        limits = services.pace, services.fair_pace, services.metrics.held_back
        self._pace = MessagePace(client, *limits, now)
        self._reading: asyncio.Task[None] | None = None
        self._feeding: asyncio.Task[None] | None = None
        self._taken_over = asyncio.Event()
        self._lost = False
        self._ending = ENDED

    def __repr__(self) -> str:
        return f"<StreamSocket {self._messages!r} {self._outbox!r}>"

    async def run(self) -> None:
        """Serve the stream until either side ends it; leave the session, then close the socket."""
        self._messages.on_taken_over = self._give_up_session
        try:
            last = await self._serve()
        finally:
            self._messages.close(self._lost)
            self._messages.on_taken_over = _nothing
            self._ledger.close()
            self._inbox.discard()
            self._outbox.discard()
            # A task that was cancelled keeps its frames, and with them a picture and this socket.
            self._reading = self._feeding = None
        if last:
            await send_ending(self._socket, last, self._timeouts.left(time.monotonic()))

    def leave(self) -> None:
        """Read no more, and end with ``going_away`` once every frame taken is answered."""
        if self._reading and not self._reading.done():
            self._ending = going_away(self._messages.last_seq, self._services.elsewhere())
            self._reading.cancel()
            # A task that is cancelled before its first step never reaches its `finally`.
            self._inbox.close()

    def _give_up_session(self) -> None:
        """Stop using the session: a newer socket has it."""
        for task in (self._reading, self._feeding):
            if task:
                task.cancel()
        self._taken_over.set()

    async def _serve(self) -> Ending | None:
        """Return how to end, or None if the client is gone."""
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(self._watch())
                self._reading = tasks.create_task(self._read())
                self._feeding = tasks.create_task(self._feed())
                await self._write()
                watch.cancel()
        except ExceptionGroup as group:
            self._lost = is_lost(group.exceptions[0])
            ended = ending_after(group.exceptions[0])
            # asyncio's TaskGroup leaves its error in a reference cycle with its own frame, and our
            # frames hold masks.
            strip(group)
            return ended
        return self._ending

    async def _read(self) -> None:
        try:
            await self._receive_first()
            while True:
                await self._wait_to_read()
                self._messages.handle(await self._receive(), self._timeouts.alive)
        except EndStream as leave:
            self._ending = leave.last
        except (MastreamError, ProtocolError) as error:
            elsewhere = None if self._messages.opened else self._services.elsewhere()
            self._ending = refusal(error, elsewhere)
        finally:
            self._inbox.close()

    async def _receive_first(self) -> None:
        """Wait a moment for the first message; a client that sends none gets its ``ready`` too."""
        try:
            async with asyncio.timeout(self._settings.open_seconds):
                first = await self._receive()
        except TimeoutError:
            self._messages.assume()
        else:
            self._messages.handle(first, self._timeouts.alive)

    async def _wait_to_read(self) -> None:
        """Wait while a full window of undroppable frames is queued, while the byte budget of all
        streams is spent, or, under ``every``, while a full window is unanswered; then until the
        client may be read again."""
        await self._inbox.wait_for_room(self._settings.window)
        await self._ledger.wait_to_read()
        opened = self._messages.opened
        if opened and opened.policy is DropPolicy.EVERY:
            await self._ledger.wait_for_answers(self._settings.window)
        # Receiving messages that have already arrived does not yield; other tasks must have a turn.
        await asyncio.sleep(self._pace.wait(time.monotonic()))

    async def _receive(self) -> str | bytes:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"], message.get("reason"))
        self._timeouts.alive = time.monotonic()
        data: str | bytes = message.get("bytes") or message.get("text") or b""
        self._pace.spend(len(data), self._timeouts.alive)
        return data

    async def _feed(self) -> None:
        """Decode packets in order and offer their frames; close the outbox when all are
        answered."""
        while (packet := await self._next_packet()) is not None:
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

    async def _next_packet(self) -> Packet | None:
        """Return the next packet once it is worth decoding, or None after the last one."""
        opened = self._messages.opened
        if opened and self._inbox.gives_way:
            await self._services.worker.wait_until_wanted(opened.session)
        return await self._inbox.take()

    async def _decode(self, packet: Packet, opened: Opened) -> Frame | None:
        """Return the frame, or None if its picture is refused, which answers the packet."""
        try:
            reading = opened.decoder.read(packet)
            self._services.pixels.spend(self._client, reading.pixels, time.monotonic())
            return await self._services.pool.run_for(self._client, reading.cost, reading.decode)
        except (Undecodable, TooLarge, TooMany, NoCapacity) as error:
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
        self._messages.offer(frame)

    async def _write(self) -> None:
        while (item := await self._outbox.take()) is not None:
            if isinstance(item, Mask):
                await self._answer(item)
            elif isinstance(item, Packed):
                await self._send({"bytes": item.data})
            else:
                self._messages.keep(item)
                await self._send({"text": protocol.serialise(item)})
            self._outbox.sent(item)

    async def _answer(self, mask: Mask) -> None:
        opened = self._messages.opened
        if opened is None:
            return  # a newer socket has the session, and this mask
        began = time.monotonic()
        answer = await self._services.pool.run_for(
            self._client, opened.answers.cost(mask), opened.answers.pack, mask
        )
        packed = time.monotonic()
        self._messages.keep(Packed(mask.frame.seq, answer))
        await self._send({"bytes": answer})
        measure(self._services, mask, began, packed, time.monotonic())

    async def _send(self, content: dict[str, str | bytes]) -> None:
        self._timeouts.begin_to_send(time.monotonic())
        await self._socket.send({"type": "websocket.send", **content})
        self._timeouts.sent()

    async def _watch(self) -> None:
        """Raise TooSlow once the client has not read, or has not sent anything, for too long, and
        TakenOver once a newer socket has the session."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._timeouts.interval):
                    await self._taken_over.wait()
                    raise TakenOver("A newer connection has resumed this stream.")
            self._timeouts.check(time.monotonic(), is_owed=bool(self._ledger.unanswered))

    def _count_slow(self) -> None:
        self._services.metrics.frame("dropped", DropCause.CLIENT_SLOW)


def _nothing() -> None:
    """Do nothing."""
