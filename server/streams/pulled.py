"""A stream that the server pulls itself: one supervisor, one session, any number of viewers."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from models.spec import ModelSpec
from protocol import DropCause, DropPolicy
from server.changes import Changes
from server.errors import BadRequest, MastreamError, SourceRefused
from server.frame import Frame, Mask, ResetCause, host_pixels
from server.recordings.folder import Recordings
from server.recordings.recording import RecordedSink, Recording
from server.scheduling.session import Session
from server.sinks.overlay import palette
from server.sinks.publishing import Publisher
from server.sources.abandoned import abandoned_decoders
from server.sources.base import Source
from server.sources.scene_cut import SceneCut, look
from server.streams import supervision
from server.streams.continuity import Continuity, follow
from server.streams.definition import StreamDefinition
from server.streams.live_status import LiveStatus, Measures, News
from server.streams.supervision import Action, Event, Rules, StreamState, Supervised
from server.streams.viewers import Viewers
from server.workers.serving import Serving

_log = logging.getLogger(__name__)

MAX_ABANDONED = 32
"""Most decoders, of all streams, that may hang and be abandoned; beyond that a stream fails."""

CROWDED_TRIES = 5
"""How often a stream waits until decoders that hang have ended, before it fails."""

WINDOW = 4
"""Frames of one stream between its source and its masks."""

_ASKED = supervision.Pause | supervision.Resume
"""Events that do not come from a connection."""


@dataclass(frozen=True, slots=True)
class PulledServices:
    """What all pulled streams share. ``clock`` is monotonic, ``wall`` the time of day, both in
    seconds; ``random`` returns a number in 0..1. ``reconnected`` is called for every connection
    after a stream's first."""

    worker: Serving
    open_source: Callable[[StreamDefinition, ModelSpec], Source]
    rules: Rules
    clock: Callable[[], float]
    wall: Callable[[], float]
    random: Callable[[], float]
    reconnected: Callable[[], None] = lambda: None
    recordings: Recordings | None = None


@dataclass(slots=True)
class Pace:
    """Plays a file at its own speed. Mutable state: when its first picture was shown."""

    began: float | None = None
    first: Fraction = Fraction(0)

    def wait(self, pts: Fraction | None, now: float) -> float:
        """Return the seconds until a picture is due."""
        shown = pts or Fraction(0)
        if self.began is None:
            self.began, self.first = now, shown
        return max(0.0, self.began + float(shown - self.first) - now)


class PulledStream:
    """Runs one definition until :meth:`run` is cancelled.

    Mutable state: what the supervisor decided last, the events that it has still to see, the open
    source with the task that reads it, and how the frames so far continue. The session stays open
    across connections, so that a memory can be kept.
    """

    def __init__(self, definition: StreamDefinition, services: PulledServices) -> None:
        self.definition = definition
        self.changes = Changes()
        self.measures = Measures()
        self.viewers = Viewers(self._on_mask, self.measures.lost)
        self._sink = RecordedSink(self.viewers)
        self._decision = supervision.begin(services.clock(), services.rules, definition.paused)
        self.supervised = self._decision[0]
        self._services = services
        self._over = False
        self._events: deque[Event] = deque()
        self._arrived = Changes()
        self._source: Source | None = None
        self._pace = Pace()
        self._reading: asyncio.Task[None] | None = None
        self._connection = 0
        self._last_picture = 0.0
        self._continuity = Continuity()
        self._scene = SceneCut()
        self._lost = 0
        self._crowded = 0
        self._session: Session | None = None
        self.publisher = self._new_publisher()

    def __repr__(self) -> str:
        return f"<PulledStream {self.definition.name} {self.supervised.state}>"

    @property
    def status(self) -> LiveStatus:
        """Return what the stream is doing now."""
        return self.measures.status(
            self.supervised, self._connection, len(self.viewers), self._services.clock()
        )

    async def news_after(self, seen: int) -> list[News]:
        """Wait for events with a higher id and return them; none if the stream is over.

        An id that was not given out yet is of an earlier run of the server: all events are new.
        """
        seen = seen if seen <= self.measures.last_news else 0
        await self.changes.until(lambda: self._over or self.measures.last_news > seen)
        return self.measures.news_after(seen)

    async def pause(self) -> None:
        """Close the source until :meth:`resume`; it is closed on return. Idempotent."""
        self.definition = replace(self.definition, paused=True)
        self._notice(supervision.Pause())
        await self.changes.until(lambda: self._over or self._is_closed)

    async def resume(self) -> None:
        """Connect again after a pause, an end or a failure. Idempotent."""
        self.definition = replace(self.definition, paused=False)
        self._notice(supervision.Resume())
        idle = (StreamState.PAUSED, StreamState.ENDED, StreamState.FAILED)
        await self.changes.until(lambda: self._over or self.supervised.state not in idle)

    @property
    def recording(self) -> Recording | None:
        """Return the recording that is being made, if any."""
        return self._sink.running

    def record(self, wanted: bool) -> None:
        """Begin a recording, with an emptied memory, or end it. Idempotent.

        Raises BadRequest if this server does not record, NoCapacity if it records enough already.
        """
        if not wanted and self._sink.recording:
            self._sink.recording.end()
        elif wanted and self.recording is None:
            self._sink.recording = self._begin_recording()
            if self._session is not None:
                self._services.worker.reset(self._session)

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
            await self._close_source()
            self._close_session()
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
            await self._close_source()
            self.changes.notify()
        if action is Action.OPEN:
            self._open_source()
        if not supervised.state.has_source and supervised.state is not StreamState.BACKOFF:
            self._close_session()

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
        return self._source is None and not self.supervised.state.has_source

    def _overdue(self) -> Event:
        """Return what the deadline means: how long nothing was decoded, and whether data came.

        A picture that was decoded counts even if the stream could not take it yet: it is not the
        camera that is late if the engine is.
        """
        picture, packet = self._last_picture, None
        if self._source is not None:
            picture = max(picture, self._source.last_frame or 0.0)
            packet = self._source.last_packet
        silent = self._services.clock() - picture
        return supervision.Deadline(silent, packet is not None and packet > picture)

    def _notice(self, event: Event) -> None:
        self._events.append(event)
        self._arrived.notify()

    def _open_source(self) -> None:
        if abandoned_decoders() >= MAX_ABANDONED:
            self._notice(self._too_many_hang())
            return
        self._crowded = 0
        self._connection += 1
        if self._connection > 1:
            self._services.reconnected()
        self._last_picture = self._services.clock()
        self._scene = SceneCut()
        self._pace = Pace()
        self._lost = 0
        try:
            source = self._services.open_source(self.definition, self._services.worker.spec)
        except MastreamError as error:
            self._notice(supervision.Broken(error.code, str(error), refused=True))
            return
        self._source = source
        self._reading = asyncio.create_task(self._read(source, self._connection))

    def _too_many_hang(self) -> Event:
        """Try again for a while: the decoder of a silent camera ends at its own time limit."""
        self._crowded += 1
        if self._crowded > CROWDED_TRIES:
            self._crowded = 0
            return supervision.Hung()
        detail = "Too many decoders hang: the stream waits until some have ended."
        return supervision.Broken("decoder_hung", detail)

    async def _close_source(self) -> None:
        """Stop reading; a decoder that hangs is abandoned. Idempotent, even if cancelled."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait([self._reading])
            self._reading = None
            self._forget_reports()
        if self._source is not None:
            await self._source.aclose()
            self._source = None

    def _forget_reports(self) -> None:
        """Forget what the closed connection still had to report: it is not about the next one."""
        asked = [one for one in self._events if isinstance(one, _ASKED)]
        self._events.clear()
        self._events.extend(asked)

    async def _read(self, source: Source, connection: int) -> None:
        """Take every frame of one connection; its end becomes an event."""
        try:
            async for frame in source:
                await self._take(frame, source, connection)
            definition = self.definition
            ended: Event = supervision.Finished(definition.is_file, definition.loop)
        except MastreamError as error:
            refused = isinstance(error, SourceRefused)
            ended = supervision.Broken(error.code, str(error), refused)
        except Exception:  # our own mistake must not leave the stream waiting for ever
            _log.exception("stream %s failed", self.definition.name)
            ended = supervision.Broken("fault", "The server failed; its log says why.")
        self._notice(ended)

    async def _take(self, frame: Frame, source: Source, connection: int) -> None:
        if not source.live:
            await asyncio.sleep(self._pace.wait(frame.pts, self._services.clock()))
            frame = replace(frame, arrived=self._services.clock())
        session = self._open_session()
        self._last_picture = self._services.clock()
        if self.supervised.state is not StreamState.LIVE and not self._events:
            self._notice(supervision.Picture())
        self._scene, is_cut = look(self._scene, host_pixels(frame.pixels), frame.pts)
        self._continuity, placed = follow(
            self._continuity, frame, connection, is_cut, self.definition
        )
        self._count_lost(source)
        if placed is None:
            self.measures.passed_over()
            return
        if placed.reset is not None:
            self._scene, _ = look(SceneCut(), host_pixels(frame.pixels), frame.pts)
            self._services.worker.reset(session, placed.reset)
        self.measures.frame(placed.frame, self._services.clock())
        if not source.live or self.definition.policy is DropPolicy.EVERY:
            await self._services.worker.wait_for_room(session)
        self._services.worker.offer(session, placed.frame)

    def _count_lost(self, source: Source) -> None:
        """Count the frames that the source dropped since this was last called."""
        lost, self._lost = source.lost - self._lost, source.lost
        self.measures.lost(DropCause.OVERLOAD, lost)

    def _open_session(self) -> Session:
        if self._session is None or self._session.closed:
            budget = self.definition.budget_ms
            self._session = self._services.worker.open(
                self._sink,
                policy=self.definition.policy,
                window=WINDOW,
                budget=None if budget is None else budget / 1000,
            )
        return self._session

    def _begin_recording(self) -> Recording:
        if self._services.recordings is None:
            raise BadRequest("This server does not record streams.")
        definition, budget = self.definition, self.definition.budget_ms
        return self._services.recordings.begin(
            self._services.worker.engines[0],
            stream=definition.name,
            policy=definition.policy,
            budget=None if budget is None else budget / 1000,
        )

    def _new_publisher(self) -> Publisher | None:
        if self.definition.publish is None:
            return None
        colours = palette(self._services.worker.spec.classes)
        return Publisher(self.definition.name, self.definition.publish, colours)

    def _close_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            self._services.worker.close(session)

    def _on_mask(self, mask: Mask) -> None:
        self.measures.mask(mask, self._services.clock())
        if self.publisher is not None:
            self.publisher.offer(mask)
        if mask.reset is not None and mask.reset is not ResetCause.NEW:
            self.measures.reset(mask.reset, mask.frame.seq, self._services.wall())
            self.changes.notify()
