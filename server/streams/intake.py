"""The way of a pulled stream's frames into its session, and their recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from protocol import DropCause, DropPolicy, MemoryState
from server.errors import BadRequest
from server.frame import Frame, Mask, ResetCause
from server.recordings.folder import Recordings
from server.recordings.recording import RecordedSink, Recording
from server.scheduling.session import Session
from server.sinks.base import Sink
from server.streams.connection import Connection
from server.streams.continuing import Continuing
from server.streams.continuity import Continuity, Placed, follow
from server.streams.definition import StreamDefinition
from server.streams.film_progress import FilmProgress
from server.streams.live_status import Measures
from server.streams.place import Made, Place, Takeover
from server.streams.scene_watch import SceneWatch
from server.workers.serving import Serving

WINDOW = 4
"""Maximum frames of one stream between its source and its masks."""


class Intake:
    """Gives the frames of all connections their places in one stream and offers them to a session.

    Mutable state: the session, which stays open across connections so that a memory can be kept;
    the continuity of the frames so far; the scene; how far a file has been played, and how it was
    continued if it was taken over.
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
        self._scenes = SceneWatch()
        self._progress = FilmProgress(worker.spec.memory_horizon)
        self.continuing = Continuing(takeover)

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
        """Offer a connection's next frame, or skip it because of ``max_fps``; wait for room if no
        frame may be lost. Raises NoCapacity or Draining."""
        self._measures.lost(DropCause.OVERLOAD, connection.newly_lost())
        if self.continuing.has_broken_off(connection.number, self._continuity.seq):
            self._search_again()
        session, definition = self.open(), self._definition
        is_cut = definition.on_cut == "reset" and self._scenes.is_cut(connection.number, frame)
        at = frame.pts or Fraction(0)
        before = self.continuing.follow(self._continuity, connection.number, at)
        if before is None:
            return
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
        """Record that a frame has its mask."""
        self.continuing.made(mask.frame.seq)
        self._progress.made(mask.frame.seq, mask.reset is not None)

    @property
    def memory(self) -> MemoryState:
        """Return the state of the memory when this server started with the stream."""
        return self.continuing.memory

    @property
    def place(self) -> Place | None:
        """Return the place where a file would have to be continued; None for a camera, or before
        the first mask.

        After a takeover it is the previous owner's place until this server has made a mask.
        """
        return self.continuing.place or self._progress.place

    def begin_anew(self) -> None:
        """Forget the place of a file, which is then played from its beginning."""
        self._progress.begin_anew()
        self.continuing.begin_anew()

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

    def _search_again(self) -> None:
        """Search again for the place that was reached: some frames that fill the memory are already
        in the session, so another one is opened."""
        self.close()
        self._progress.begin_anew()
        self.continuing.search_again()

    def _begin_scene(self, frame: Frame) -> None:
        if self._definition.on_cut == "reset":
            self._scenes.begin(frame)

    def _note(self, before: Continuity, frame: Frame, placed: Placed) -> None:
        """Remember a file's frame until it has its mask, or longer if it already has it."""
        seq, now, at = placed.frame.seq, self._continuity, frame.pts or Fraction(0)
        taken = Made(seq, at, now.shift, before.due, now.connection, self._scenes.since)
        if seq > self.continuing.sent:
            self._progress.note(taken)
        else:
            self._progress.note_sent(taken, self.continuing.sent)

    def _offered(self, session: Session, placed: Placed) -> Frame | None:
        """Return the frame for the session; a frame that already has its mask only fills the
        memory, if that is useful."""
        is_cold = self.continuing.is_cold
        if placed.frame.seq <= self.continuing.sent:
            return None if is_cold else replace(placed.frame, replay=True)
        if self.continuing.begins() and is_cold:
            self._worker.reset(session, ResetCause.MOVED)
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
