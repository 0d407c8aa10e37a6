"""How the frames of a pulled stream enter its session, and are recorded."""

from __future__ import annotations

from collections.abc import Callable

from protocol import DropCause, DropPolicy
from server.errors import BadRequest
from server.frame import Frame, host_pixels
from server.recordings.folder import Recordings
from server.recordings.recording import RecordedSink, Recording
from server.scheduling.session import Session
from server.sinks.base import Sink
from server.sources.scene_cut import SceneCut, look
from server.streams.connection import Connection
from server.streams.continuity import Continuity, follow
from server.streams.definition import StreamDefinition
from server.streams.live_status import Measures
from server.workers.serving import Serving

WINDOW = 4
"""Frames of one stream between its source and its masks."""


class Intake:
    """Gives the frames of all connections their places in one stream and offers them to a session.

    Mutable state: the session, which stays open across connections so that a memory can be kept;
    how the frames so far continue; the scene, and the number of the connection that it belongs to.
    """

    def __init__(
        self,
        definition: StreamDefinition,
        worker: Serving,
        sink: Sink,
        measures: Measures,
        clock: Callable[[], float],
        recordings: Recordings | None,
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
        self._continuity, placed = follow(
            self._continuity, frame, connection.number, self._is_cut(connection, frame), definition
        )
        if placed is None:
            self._measures.passed_over()
            return
        if placed.reset is not None:
            self._begin_scene(frame)
            self._worker.reset(session, placed.reset)
        self._measures.frame(placed.frame, self._clock())
        if not connection.live or definition.policy is DropPolicy.EVERY:
            await self._worker.wait_for_room(session)
        self._worker.offer(session, placed.frame)

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
        self._scene, is_cut = look(self._scene, host_pixels(frame.pixels), frame.pts)
        return is_cut

    def _begin_scene(self, frame: Frame) -> None:
        if self._definition.on_cut == "reset":
            self._scene, _ = look(SceneCut(), host_pixels(frame.pixels), frame.pts)

    def _begin_recording(self) -> Recording:
        if self._recordings is None:
            raise BadRequest("This server does not record streams.")
        return self._recordings.begin(
            self._worker.engines[0],
            stream=self._definition.name,
            policy=self._definition.policy,
            budget=self._definition.budget,
        )
