"""A stream that the server pulls itself: one supervisor, one session, any number of viewers."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import replace
from functools import partial

from protocol import MemoryState
from server.changes import Changes
from server.errors import MastreamError
from server.frame import Frame, Mask, ResetCause
from server.recordings.recording import Recording
from server.sinks.overlay import palette
from server.sinks.publishing import Publisher
from server.sources.abandoned import abandoned_decoders
from server.streams import supervision
from server.streams.connection import Connection
from server.streams.definition import StreamDefinition
from server.streams.intake import Intake
from server.streams.live_status import LiveStatus, Measures, News
from server.streams.place import Place, Takeover
from server.streams.pulled_services import PulledServices
from server.streams.supervision import Action, Event, StreamState, Supervised
from server.streams.viewers import Viewers

_log = logging.getLogger(__name__)

MAX_ABANDONED = 32
"""Most decoders, of all streams, that may hang and be abandoned; beyond that a stream fails."""

CROWDED_TRIES = 5
"""How often a stream waits until decoders that hang have ended, before it fails."""

IDLE = (StreamState.PAUSED, StreamState.ENDED, StreamState.FAILED)
"""States in which no connection is tried until it is requested."""

EPOCH_EVENTS = 2**32
"""The ids of a stream's events begin with a multiple of this, so that they rise from one owner to
the next."""

_ASKED = supervision.Pause | supervision.Resume
"""Events that do not come from a connection."""


class PulledStream:
    """Runs one definition until :meth:`run` is cancelled. ``takeover`` says why this server has it,
    and where a file is to be continued, if it was taken over.

    Mutable state: what the supervisor decided last, the events that it has still to see, the
    connection that is open, how many there were, how often too many decoders hung, and the
    takeover that is still to be reported. The intake's session stays open across connections, so
    that a memory can be kept.
    """

    def __init__(
        self,
        definition: StreamDefinition,
        services: PulledServices,
        takeover: Takeover | None = None,
    ) -> None:
        self.definition = definition
        self.changes = Changes()
        epochs = 0 if takeover is None else takeover.epoch - 1
        self.measures = Measures(told=EPOCH_EVENTS * epochs)
        ours = partial(services.may_send, definition.name)
        self.viewers = Viewers(self._on_mask, self.measures.lost, ours)
        self._decision = supervision.begin(services.clock(), services.rules, definition.paused)
        self.supervised = self._decision[0]
        self._services = services
        given = self.viewers, self.measures, services.clock, services.recordings
        self._intake = Intake(definition, services.worker, *given, takeover)
        self._takeover = takeover
        self._over = False
        self._events, self._arrived = deque[Event](), Changes()
        self._connection: Connection | None = None
        self._connections = 0
        self._crowded = 0
        self.publisher = self._new_publisher()

    def __repr__(self) -> str:
        return f"<PulledStream {self.definition.name} {self.supervised.state}>"

    @property
    def status(self) -> LiveStatus:
        """Return what the stream is doing now."""
        now = self._services.clock()
        return self.measures.status(self.supervised, self._connections, self.viewers, now)

    async def news_after(self, seen: int) -> list[News]:
        """Wait for events with a higher id and return them; none if the stream is over.

        An id that was not given out yet is of an earlier run of the server: all events are new.
        """
        seen = seen if seen <= self.measures.told else 0
        await self.changes.until(lambda: self._over or self.measures.told > seen)
        return self.measures.news_after(seen)

    async def pause(self) -> None:
        """Close the source until :meth:`resume`; it is closed on return. Idempotent."""
        self.definition = replace(self.definition, paused=True)
        self._notice(supervision.Pause())
        await self.changes.until(lambda: self._over or self._is_closed)

    async def resume(self) -> None:
        """Connect again after a pause, an end or a failure. Idempotent."""
        self._crowded = 0
        self.definition = replace(self.definition, paused=False)
        self._notice(supervision.Resume())
        await self.changes.until(lambda: self._over or self.supervised.state not in IDLE)

    @property
    def memory(self) -> MemoryState:
        """Return what its memory was when this server began with it."""
        return self._intake.memory

    @property
    def place(self) -> Place | None:
        """Return where the next owner is to continue; None where it cannot."""
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
        """End every viewer as the server stops; :meth:`run` is still to be cancelled."""
        self.viewers.is_leaving = True
        self.viewers.close()

    async def run(self) -> None:
        """Supervise the source until cancelled; then everything is closed."""
        services = self._services
        self._report(self.supervised)
        try:
            while True:
                await self._enter(*self._decision)
                event = await self._next_event()
                self._decision = supervision.decide(
                    self.supervised, event, services.clock(), services.rules, services.random()
                )
        finally:
            await self._disconnect()
            self._intake.close()
            self.record(False)
            self.viewers.close()
            self._over = True
            self.changes.notify()
            if self.publisher is not None:
                await asyncio.to_thread(self.publisher.close)

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
            self._connect()
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
            return self._overdue()
        return self._events.popleft()

    @property
    def _is_closed(self) -> bool:
        return self._connection is None and not self.supervised.state.has_source

    def _overdue(self) -> Event:
        """Return what the deadline means; without a connection there is nothing to ask."""
        return self._connection.overdue() if self._connection else supervision.Deadline(0.0)

    def _notice(self, event: Event) -> None:
        self._events.append(event)
        self._arrived.notify()

    def _connect(self) -> None:
        if abandoned_decoders() >= MAX_ABANDONED:
            self._notice(self._too_many_hang())
            return
        self._crowded = 0
        self._connections += 1
        if self._connections > 1:
            self._services.reconnected()
        place = self._intake.to_reach
        start = place.look if place is not None and self._connections == 1 else None
        try:
            source = self._services.open_source(self.definition, self._services.worker.spec, start)
        except MastreamError as error:
            self._notice(supervision.Broken(error.code, str(error), refused=True))
            return
        end = supervision.Finished(self.definition.is_file, self.definition.loop)
        hurry_to = None if place is None else place.sent_at
        given = self._services.clock, hurry_to, self._intake.settled
        self._connection = Connection(self._connections, source, *given)
        self._connection.begin(self._take, end, self._notice)

    def _too_many_hang(self) -> Event:
        """Try again for a while: the decoder of a silent camera ends at its own time limit."""
        self._crowded += 1
        if self._crowded > CROWDED_TRIES:
            self._crowded = 0
            return supervision.Hung()
        detail = "Too many decoders hang: the stream waits until some have ended."
        return supervision.Broken("decoder_hung", detail)

    async def _disconnect(self) -> None:
        """Close the connection, and forget what it had still to report: it is not about the next
        one. Idempotent, even if cancelled."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None
            self._events = deque(one for one in self._events if isinstance(one, _ASKED))

    async def _take(self, connection: Connection, frame: Frame) -> None:
        self._intake.open()  # a stream that finds no session is not live
        if self.supervised.state is not StreamState.LIVE and not self._events:
            self._notice(supervision.Picture())
        await self._intake.take(connection, frame)

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
