"""A viewer's socket: the masks of one pulled stream, in the protocol of every stream socket.

Two tasks: one reads the viewer's messages, one sends. The stream never waits for a viewer, and a
viewer that reads slowly only loses masks itself.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from starlette.websockets import WebSocket, WebSocketDisconnect

import protocol
from models.spec import ModelSpec
from protocol import ProtocolError
from server.errors import BadMessage, MastreamError, TooSlow, strip
from server.frame import Mask
from server.metrics import Metrics
from server.settings import StreamSettings
from server.streams.ending import ENDED, Ending, EndStream, ending_of, going_away
from server.streams.outbox import Outbox, Packed
from server.streams.pulled import PulledStream
from server.streams.renditions import Renditions, form_of


@dataclass(frozen=True, slots=True)
class ViewerServices:
    """The services that all viewers share."""

    spec: ModelSpec
    metrics: Metrics
    settings: StreamSettings


class ViewerSocket:
    """One viewer until either side ends it.

    Mutable state: the requested form of the masks, once it is known, and when the current send
    began.
    """

    def __init__(
        self,
        socket: WebSocket,
        stream: PulledStream,
        renditions: Renditions,
        services: ViewerServices,
    ) -> None:
        self._socket = socket
        self._stream = stream
        self._renditions = renditions
        self._services = services
        self._form = protocol.Open()
        self._outbox: Outbox | None = None
        self._sending: float | None = None

    async def run(self) -> Ending | None:
        """Serve the viewer; return how to end, or None if it is gone."""
        try:
            first = await self._first_message()
            self._form = form_of(first)
            self._outbox = self._stream.viewers.join(self._count_slow)
            return await self._talk(self._outbox)
        except WebSocketDisconnect:
            return None
        except EndStream as end:
            return end.last
        except (MastreamError, ProtocolError) as error:
            return ending_of(error)
        finally:
            if self._outbox is not None:
                self._stream.viewers.leave(self._outbox)

    async def _first_message(self) -> protocol.Open:
        """Return the viewer's ``open``, or the defaults if it sends nothing for a moment."""
        try:
            async with asyncio.timeout(self._services.settings.open_seconds):
                message = await self._receive()
        except TimeoutError:
            return protocol.Open()
        return message if isinstance(message, protocol.Open) else protocol.Open()

    async def _talk(self, outbox: Outbox) -> Ending:
        outbox.notice(self._ready())
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(self._read(outbox))
                watching = tasks.create_task(self._watch())
                await self._write(outbox)
                reading.cancel()
                watching.cancel()
        except ExceptionGroup as group:
            error = group.exceptions[0]
            strip(group)
            raise error from None
        return going_away() if self._stream.viewers.is_leaving else ENDED

    async def _read(self, outbox: Outbox) -> None:
        while True:
            match await self._receive():
                case protocol.End():
                    outbox.close()
                case protocol.Ping():
                    outbox.notice(protocol.Pong())
                case protocol.Open() as wish:
                    self._form = form_of(wish)
                    outbox.notice(self._ready())

    async def _receive(self) -> object:
        message = await self._socket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"], message.get("reason"))
        text = message.get("text")
        if text is None:
            raise BadMessage("Viewers send no frames: push your own to /v1/stream.")
        return protocol.parse_client(text)

    async def _write(self, outbox: Outbox) -> None:
        while (item := await outbox.take()) is not None:
            assert not isinstance(item, Packed), "a viewer resumes nothing"
            if isinstance(item, Mask):
                await self._send({"bytes": await self._renditions.message(item, self._form)})
            else:
                await self._send({"text": protocol.serialise(item)})
            outbox.sent(item)

    async def _send(self, content: dict[str, str | bytes]) -> None:
        self._sending = time.monotonic()
        await self._socket.send({"type": "websocket.send", **content})
        self._sending = None

    async def _watch(self) -> None:
        """Raise TooSlow if the viewer has not read for too long."""
        slow = self._services.settings.slow_seconds
        while True:
            await asyncio.sleep(min(1.0, slow / 4))
            if self._sending is not None and time.monotonic() - self._sending > slow:
                raise TooSlow(f"The viewer read nothing for {slow:g} s: read faster.")

    def _ready(self) -> protocol.Ready:
        settings = self._services.settings
        limits = protocol.Limits(settings.max_message_bytes, settings.max_pixels)
        name = self._stream.definition.name
        return protocol.Ready(
            name,
            self._services.spec.to_dict(),
            limits,
            settings.window,
            memory=self._stream.memory,
        )

    def _count_slow(self) -> None:
        self._services.metrics.viewer_lost()
