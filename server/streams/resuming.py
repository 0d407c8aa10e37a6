"""Which sessions can be resumed: those of open sockets, and those whose socket was lost."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from uuid import uuid4

from protocol import DropPolicy, MemoryState
from server.errors import NoCapacity, TooMany
from server.logs import log_event
from server.metrics import Metrics
from server.recordings.recording import RecordedSink, Recording
from server.scheduling.parked import ParkingLot
from server.scheduling.session import Session
from server.settings import StreamSettings
from server.streams.answer_log import AnswerLog
from server.streams.byte_budget import ByteBudget
from server.workers.serving import Serving

_SHARE = 4
"""The share of the bytes of all streams that kept answers, or parked sessions, may hold."""

_TOKEN_BYTES = 16

_log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Resumable:
    """A session with everything needed to continue it on another socket.

    ``resets`` are the seqs of frames with a reset that were read but not processed: the next frame
    from there on is reset. ``hand_over`` makes the socket that has the session leave it. A
    recording in ``sink`` continues with the session.
    """

    name: str
    session: Session
    log: AnswerLog
    sink: RecordedSink
    token: str = field(default_factory=lambda: secrets.token_urlsafe(_TOKEN_BYTES))
    resets: tuple[int, ...] = ()
    hand_over: Callable[[], None] | None = None

    def take_reset(self, seq: int) -> bool:
        """Return whether a frame inherits a reset, and forget that one."""
        due = any(first <= seq for first in self.resets)
        self.resets = tuple(first for first in self.resets if first > seq)
        return due


class Resuming:
    """Opens, parks, resumes and closes the sessions of all sockets.

    Mutable state: the sessions that sockets have, and those that wait. One event loop uses it.
    """

    def __init__(
        self,
        worker: Serving,
        settings: StreamSettings,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._worker = worker
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._seconds = settings.resume_seconds
        share = settings.total_bytes // _SHARE
        self._kept_budget = ByteBudget(share)
        self._held: dict[str, Resumable] = {}
        self._parked: ParkingLot[Resumable] = ParkingLot(
            seconds=self._seconds, most=settings.max_sessions, most_bytes=share
        )

    def __repr__(self) -> str:
        return f"<Resuming {len(self._held)} held, {self._parked!r}>"

    @property
    def is_on(self) -> bool:
        """Return whether sessions can be resumed at all."""
        return self._seconds > 0

    def open(
        self,
        policy: DropPolicy,
        budget: float | None,
        record: Callable[[str], Recording | None] = lambda _: None,
        owner: str = "",
    ) -> Resumable:
        """Open a session of ``owner``. Raises TooMany, NoCapacity or Draining.

        ``record`` begins the recording of the session with a name, if it is to be recorded; it may
        raise the same errors.
        """
        kept, name = self._settings.window if self.is_on else 0, uuid4().hex
        log = AnswerLog(kept, self._settings.stream_bytes, self._kept_budget)
        sink = RecordedSink(log)
        sink.recording = record(name)
        try:
            session = self._worker.open(
                sink,
                policy=policy,
                budget=budget,
                window=self._settings.window,
                owner=owner,
            )
        except (TooMany, NoCapacity):
            if sink.recording:
                sink.recording.end()
            raise
        log_event(_log, "stream opened", stream=name, policy=policy.value)
        return self._hold(Resumable(name, session, log, sink))

    def claim(self, token: str) -> tuple[Resumable | None, MemoryState]:
        """Return the session with this token, taken from the socket that has it if there is one,
        and the state of its memory.

        The state is COLD, without a session, if there is none or if its memory is lost.
        """
        if (held := self._held.get(token)) and held.hand_over:
            held.hand_over()
        found = self._parked.take(token, self._clock())
        memory = MemoryState.COLD if found is None else _memory_of(found.session)
        self._metrics.resumed(memory)
        if found is None:
            return None, memory
        if memory is MemoryState.COLD:
            self._close([found])
            return None, memory
        found.session.parked = False
        log_event(_log, "stream resumed", stream=found.name, memory=memory.value)
        return self._hold(found), memory

    def park(self, one: Resumable) -> None:
        """Keep the session of a lost socket for its client; close it if there is nothing to
        resume."""
        one.log.detach()
        if not self.is_on or one.log.processed < 0 or one.session.closed:
            self.close(one)
            return
        self._held.pop(one.token, None)
        one.hand_over, one.session.parked = None, True
        log_event(_log, "stream parked", stream=one.name, seconds=self._seconds)
        nbytes = self._worker.spec.memory_bytes + one.session.nbytes + one.log.nbytes
        self._close(self._parked.put(one.token, one, nbytes, self._clock()))
        asyncio.get_running_loop().call_later(self._seconds + 0.1, self._expire)

    def make_room(self) -> bool:
        """Close the session that has been parked for the longest; return whether there was one."""
        oldest = self._parked.take_oldest()
        self._close(oldest)
        return bool(oldest)

    def close(self, one: Resumable) -> None:
        """Close a session for good. Idempotent."""
        self._held.pop(one.token, None)
        self._close([one])

    def stop(self) -> None:
        """Close all sessions that wait. Idempotent."""
        while self.make_room():
            pass

    def _hold(self, one: Resumable) -> Resumable:
        self._held[one.token] = one
        return one

    def _expire(self) -> None:
        self._close(self._parked.expire(self._clock()))

    def _close(self, gone: list[Resumable]) -> None:
        for one in gone:
            one.hand_over = None
            if not one.session.closed:
                log_event(_log, "stream closed", stream=one.name, **asdict(one.session.counts))
            self._worker.close(one.session)
            one.log.close()
            if one.sink.recording:
                one.sink.recording.end()


def _memory_of(session: Session) -> MemoryState:
    if session.closed or session.has_lost_memory:
        return MemoryState.COLD
    return MemoryState.REBUILT if session.is_rebuilding else MemoryState.INTACT
