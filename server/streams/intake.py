"""How the frames of a pulled stream enter its session, and are recorded."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from protocol import DropCause, DropPolicy, MemoryState
from server.errors import BadRequest
from server.frame import Frame, Mask, ResetCause, host_pixels
from server.recordings.folder import Recordings
from server.recordings.recording import RecordedSink, Recording
from server.scheduling.session import Session
from server.sinks.base import Sink
from server.sources.scene_cut import SceneCut, look
from server.streams.connection import Connection
from server.streams.continuity import Continuity, Placed, follow
from server.streams.definition import StreamDefinition
from server.streams.live_status import Measures
from server.streams.place import Made, Place, Takeover, continued, place_of
from server.workers.serving import Serving

WINDOW = 4
"""Frames of one stream between its source and its masks."""

SEARCHES = 2
"""How many connections look for the place at which a file is to be continued."""


class Intake:
    """Gives the frames of all connections their places in one stream and offers them to a session.

    Mutable state: the session, which stays open across connections so that a memory can be kept;
    how the frames so far continue; the scene, the number of the connection that it belongs to and
    the time in the file since when it has been followed. Of a file also the frames that have masks
    or wait for them, the place that is still to be reached, the connections that have looked for
    it, and the place that was taken over, until there is a new mask.
    """

    def __init__(
        self,
        definition: StreamDefinition,
        worker: Serving,
        sink: Sink,
        measures: Measures,
        clock: Callable[[], float],
        recordings: Recordings | None,
        takeover: Takeover | None = None,
    ) -> None:
        self._definition = definition
        self._worker = worker
        self._sink = RecordedSink(sink)
        self._recordings = recordings
        self._measures = measures
        self._clock = clock
        self._session: Session | None = None
        self._continuity = Continuity()
        self._scene = SceneCut()
        self._scene_of = 0
        self._scene_since = Fraction(0)
        self._made = deque[Made](maxlen=max(1, worker.spec.memory_horizon or 0))
        self._waiting: dict[int, Made] = {}
        self.to_reach = None if takeover is None else takeover.place
        self._taken_at: Place | None = None
        self._searches: set[int] = set()
        self._sent = -1
        self._has_begun = False
        self.memory = _memory_after(takeover)

    def __repr__(self) -> str:
        return f"<Intake {self._definition.name} {self._session!r}>"

    def open(self) -> Session:
        """Return the session; open one if there is none.

        Raises TooMany, NoCapacity or Draining.
        """
        if self._session is None or self._session.closed:
            self._session = self._worker.open(
                self._sink,
                policy=self._definition.policy,
                window=WINDOW,
                budget=self._definition.budget,
                owner=self._definition.owner or f"stream {self._definition.name}",
            )
        return self._session

    async def take(self, connection: Connection, frame: Frame) -> None:
        """Offer a connection's next frame, or pass it over if ``max_fps`` says so; wait for room if
        no frame may be lost. Raises NoCapacity or Draining."""
        session, definition = self.open(), self._definition
        self._measures.lost(DropCause.OVERLOAD, connection.newly_lost())
        is_cut = self._is_cut(connection, frame)
        if not self._has_reached(connection, frame):
            return
        before = self._continuity
        self._continuity, placed = follow(before, frame, connection.number, is_cut, definition)
        if placed is None:
            self._measures.passed_over()
            return
        if placed.reset is not None:
            self._begin_scene(frame)
            self._worker.reset(session, placed.reset)
        if definition.is_file:
            self._note(before, frame, placed)
        if (offered := self._offered(session, placed)) is None:
            return
        if not connection.live or definition.policy is DropPolicy.EVERY:
            await self._worker.wait_for_room(session)
        self._worker.offer(session, offered)

    async def settled(self) -> None:
        """Wait until every frame has been answered."""
        if self._session is not None:
            await self._worker.settled(self._session)

    def made(self, mask: Mask) -> None:
        """Note that a frame has its mask."""
        if mask.frame.seq > self._sent:
            self._taken_at = None
        taken = self._waiting.pop(mask.frame.seq, None)
        if taken is not None:
            is_first = taken.is_first or mask.reset is not None
            self._made.append(replace(taken, is_first=is_first))
            for seq in [one for one in self._waiting if one < taken.seq]:
                del self._waiting[seq]

    @property
    def place(self) -> Place | None:
        """Return where a file would have to be continued; None for a camera, or before a mask.

        After a takeover it is the earlier owner's place until there is a mask of our own.
        """
        return (
            self.to_reach
            or self._taken_at
            or place_of(self._made, self._worker.spec.memory_horizon)
        )

    def begin_anew(self) -> None:
        """Forget the place of a file, which is played from its beginning."""
        self._made.clear()
        self.to_reach = self._taken_at = None

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
                self._worker.reset(self._session)

    def close(self) -> None:
        """Close the session; the next frame opens another one. Idempotent."""
        session, self._session = self._session, None
        if session is not None:
            self._worker.close(session)

    def _is_cut(self, connection: Connection, frame: Frame) -> bool:
        """Return whether the frame begins another scene, if that matters."""
        if self._definition.on_cut == "keep":
            return False
        if self._scene_of != connection.number:
            self._scene, self._scene_of = SceneCut(), connection.number
            self._scene_since = frame.pts or Fraction(0)
        self._scene, is_cut = look(self._scene, host_pixels(frame.pixels), frame.pts)
        return is_cut

    def _begin_scene(self, frame: Frame) -> None:
        if self._definition.on_cut == "reset":
            self._scene, _ = look(SceneCut(), host_pixels(frame.pixels), frame.pts)
            self._scene_since = frame.pts or Fraction(0)

    def _has_reached(self, connection: Connection, frame: Frame) -> bool:
        """Return whether the stream goes on with this frame: a file does not before its place."""
        place, at = self.to_reach, frame.pts or Fraction(0)
        if place is None:
            return True
        is_there = at == place.at
        self._searches.add(connection.number)
        if not is_there and at <= place.sent_at and len(self._searches) <= SEARCHES:
            return False
        self._continuity, self.to_reach = continued(place, connection.number, is_there), None
        self._taken_at = place
        self._sent = place.sent
        if not is_there or not place.fills:
            self.memory = MemoryState.COLD
        return True

    def _note(self, before: Continuity, frame: Frame, placed: Placed) -> None:
        """Remember a file's frame until it has its mask, or longer if it has it already."""
        seq, now, at = placed.frame.seq, self._continuity, frame.pts or Fraction(0)
        taken = Made(seq, at, now.shift, before.due, now.connection, self._scene_since)
        if seq > self._sent:
            self._waiting[seq] = taken
        else:
            is_first = not self._made and self._sent - seq + 1 < (self._made.maxlen or 0)
            self._made.append(replace(taken, is_first=is_first))

    def _offered(self, session: Session, placed: Placed) -> Frame | None:
        """Return what the session gets of a frame; of one that has its mask only what fills the
        memory, if that is of use."""
        is_cold = self.memory is MemoryState.COLD
        if placed.frame.seq <= self._sent:
            return None if is_cold else replace(placed.frame, replay=True)
        if is_cold and not self._has_begun:
            self._worker.reset(session, ResetCause.MOVED)
        self._has_begun = True
        self._measures.frame(placed.frame, self._clock())
        return placed.frame

    def _begin_recording(self) -> Recording:
        if self._recordings is None:
            raise BadRequest("This server does not record streams.")
        return self._recordings.begin(
            self._worker.engines[0],
            stream=self._definition.name,
            policy=self._definition.policy,
            budget=self._definition.budget,
        )


def _memory_after(takeover: Takeover | None) -> MemoryState:
    """Return what a stream's memory is expected to be when it begins."""
    if takeover is None:
        return MemoryState.NEW
    is_known = takeover.place is not None and takeover.place.fills
    return MemoryState.REBUILT if is_known else MemoryState.COLD
