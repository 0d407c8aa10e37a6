"""A stream that the server pulls itself: one supervisor, one session, any number of viewers."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from protocol import MemoryState
from server.changes import Changes
from server.frame import Frame, Mask, ResetCause
from server.recordings.recording import Recording
from server.sinks.overlay import palette
from server.sinks.publishing import Publisher
from server.streams import supervision
from server.streams.connection import Connection
from server.streams.connector import Connector
from server.streams.definition import StreamDefinition
from server.streams.intake import Intake
from server.streams.live_status import LiveStatus, Measures, News
from server.streams.place import Place, Takeover
from server.streams.pulled_services import PulledServices
from server.streams.states import Action, Event, Pause, Picture, Resume, StreamState, Supervised
from server.streams.viewers import Viewers

_log = logging.getLogger(__name__)

IDLE = (StreamState.PAUSED, StreamState.ENDED, StreamState.FAILED)
"""States in which no connection is tried until it is requested."""

EPOCH_EVENTS = 2**32
"""The ids of an owner's events begin with a multiple of this, so that they rise from one owner to
the next."""

_ASKED = Pause | Resume
"""Events that do not come from a connection."""


class PulledStream:
    """Runs one definition until :meth:`run` is cancelled. ``takeover`` has the cause and the place
    of a file if the stream was taken over. While ``may_send`` is false, it holds its masks back:
    another server, or a later task, may send its own.

    Mutable state: the supervisor's state, the events that it has yet to see, how many pauses and
    resumptions were requested and carried out, and the takeover that is not reported yet. The
    intake's session stays open across connections, so that a memory can be kept.
    """

    def __init__(
        self,
        definition: StreamDefinition,
        services: PulledServices,
        takeover: Takeover | None = None,
        may_send: Callable[[], bool] = lambda: True,
    ) -> None:
        self.definition = definition
        self.changes = Changes()
        epochs = 0 if takeover is None else takeover.epoch - 1
        self.measures = Measures(last_id=EPOCH_EVENTS * epochs)
        self.viewers = Viewers(self._on_mask, self.measures.lost, may_send)
        self._begin = supervision.begin(services.clock(), services.rules, definition.paused)
        self.supervised = self._begin[0]
        self._services = services
        given = self.viewers, self.measures, services.clock, services.recordings
        self._intake = Intake(definition, services.worker, *given, takeover)
        self._takeover = takeover
        self._over = False
        self._events, self._arrived = deque[Event](), Changes()
        self._asked = self._carried_out = 0
        self._connector = Connector(definition, services, self._intake.continuing)
        self.publisher = self._new_publisher()

    def __repr__(self) -> str:
        return f"<PulledStream {self.definition.name} {self.supervised.state}>"

    @property
    def status(self) -> LiveStatus:
        """Return the stream's current status."""
        now = self._services.clock()
        return self.measures.status(self.supervised, self._connector.count, self.viewers, now)

    async def news_after(self, seen: int) -> list[News]:
        """Wait for events with a higher id and return them; none if the stream has ended.

        An id that has not been used yet is from an earlier run of the server: then all events are
        new.
        """
        seen = seen if seen <= self.measures.last_id else 0
        await self.changes.until(lambda: self._over or self.measures.last_id > seen)
        return self.measures.news_after(seen)

    async def pause(self) -> None:
        """Close the source until :meth:`resume`; return once it was closed. Idempotent."""
        self.definition = replace(self.definition, paused=True)
        await self._carry_out(Pause())

    async def resume(self) -> None:
        """Connect again after a pause, an end or a failure. Idempotent."""
        self._connector.forget_crowds()
        self.definition = replace(self.definition, paused=False)
        await self._carry_out(Resume())

    @property
    def memory(self) -> MemoryState:
        """Return the state of its memory when this server started with it."""
        return self._intake.memory

    @property
    def place(self) -> Place | None:
        """Return the place where the next owner should continue; None if it cannot."""
        plays = self.definition.is_file and not self.definition.paused
        return self._intake.place if plays else None

    @property
    def recording(self) -> Recording | None:
        """Return the recording that is being made, if any."""
        return self._intake.recording

    def record(self, wanted: bool) -> None:
        """Begin a recording, or end it: see :meth:`Intake.record`."""
        self._intake.record(wanted)

    def leave(self) -> None:
        """End every viewer, and what is published, because the server stops or has lost the stream;
        :meth:`run` must still be cancelled."""
        self.viewers.is_leaving = True
        self.viewers.close()
        if self.publisher is not None:
            self.publisher.leave()

    async def run(self) -> None:
        """Supervise the source until cancelled; then everything is closed."""
        services = self._services
        self._report(self.supervised)
        try:
            await self._enter(*self._begin)
            while True:
                event = await self._next_event()
                decision = supervision.decide(
                    self.supervised, event, services.clock(), services.rules, services.random()
                )
                await self._enter(*decision)
                if isinstance(event, _ASKED):
                    self._carried_out += 1
                    self.changes.notify()
        finally:
            try:
                await self._disconnect()
            finally:
                self._end()
                if self.publisher is not None:
                    await asyncio.to_thread(self.publisher.close)

    def _end(self) -> None:
        """End everything that waits for this stream, even if its source could not be closed."""
        self._intake.close()
        self.record(False)
        self.viewers.close()
        self._over = True
        self.changes.notify()

    async def _enter(self, supervised: Supervised, action: Action) -> None:
        """Take a decision: remember it, report it if it is news, act on it."""
        before, self.supervised = self.supervised, supervised
        if (before.state, before.detail) != (supervised.state, supervised.detail):
            self._report(supervised)
        if action is not Action.NOTHING:
            await self._disconnect()
            self.changes.notify()
        if action is Action.OPEN:
            if before.state in IDLE:
                self._intake.begin_anew()
            self._connector.open(self._take, self._settled, self._notice)
        if supervised.state in IDLE:
            self._intake.close()

    def _report(self, supervised: Supervised) -> None:
        self.measures.state(supervised, self._services.wall())
        detail = f": {supervised.detail}" if supervised.detail else ""
        _log.info("stream %s is %s%s", self.definition.name, supervised.state.value, detail)
        self.changes.notify()

    async def _next_event(self) -> Event:
        """Wait for the next event, or for the deadline."""
        deadline = self.supervised.deadline
        wait = None if deadline is None else max(0.0, deadline - self._services.clock())
        try:
            async with asyncio.timeout(wait):
                await self._arrived.until(lambda: bool(self._events))
        except TimeoutError:
            return self._connector.overdue()
        return self._events.popleft()

    async def _carry_out(self, event: Pause | Resume) -> None:
        """Wait until an event was acted on, whatever was requested after it; they are in order."""
        self._asked += 1
        number = self._asked
        self._notice(event)
        await self.changes.until(lambda: self._over or self._carried_out >= number)

    def _notice(self, event: Event) -> None:
        self._events.append(event)
        self._arrived.notify()

    async def _disconnect(self) -> None:
        """Close the connection, and discard its pending reports, which are not about the next one.
        Idempotent, even if cancelled."""
        if self._connector.is_open:
            await self._connector.close()
            self._events = deque(one for one in self._events if isinstance(one, _ASKED))

    async def _take(self, connection: Connection, frame: Frame) -> None:
        await self.viewers.wait_to_send()
        self._intake.open()  # a stream that finds no session is not live
        if self.supervised.state is not StreamState.LIVE and not self._events:
            self._notice(Picture())
        await self._intake.take(connection, frame)

    async def _settled(self) -> None:
        await self._intake.settled()
        await self.viewers.wait_to_send()

    def _new_publisher(self) -> Publisher | None:
        if self.definition.publish is None:
            return None
        colours = palette(self._services.worker.spec.classes)
        given = self.definition.name, self.definition.publish, colours
        services = self._services
        return Publisher(*given, count=services.published, guard=services.guard)

    def _on_mask(self, mask: Mask) -> None:
        self.measures.mask(mask, self._services.clock())
        self._intake.made(mask)
        if self.publisher is not None:
            self.publisher.offer(mask)
        wall, seq = self._services.wall(), mask.frame.seq
        if self._takeover is not None:
            self.measures.moved(self._takeover.cause, self.memory.value, seq, wall)
            self._takeover = None
            self.changes.notify()
        if mask.reset is not None and mask.reset is not ResetCause.NEW:
            self.measures.reset(mask.reset, seq, wall)
            self.changes.notify()
