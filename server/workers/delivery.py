"""The delivery of a session's answers to its sink, and waiting for its bookkeeping to change."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial

from protocol import StageTimes
from server.changes import Changes
from server.errors import MastreamError
from server.frame import Dropped, Mask
from server.metrics import Metrics
from server.scheduling.session import Session
from server.scheduling.turns import Turn
from server.sinks.base import Sink
from server.workers.engine_thread import Stepped

log = logging.getLogger(__name__)


class Delivery:
    """Hands one session's answers to its sink and counts them; a sink that raises is logged and
    affects no other session."""

    def __init__(self, sink: Sink, metrics: Metrics) -> None:
        self._sink = sink
        self._metrics = metrics
        self._changes = Changes()

    def mask(self, turn: Turn, stepped: Stepped, slot: int) -> None:
        """Deliver the mask of a frame that was segmented in this slot of the batch."""
        if turn.rebuild:
            self._answer(partial(self._sink.rebuilt, turn.frame.seq))
            return
        if turn.reset:
            self._metrics.memory_reset(turn.reset)
        self._metrics.stage("queue", stepped.began - turn.offered)
        mask = _mask_of(turn, stepped, slot)
        if turn.frame.replay:
            self._metrics.frame("replayed")
            self._answer(partial(self._sink.replayed, mask))
            return
        self._metrics.frame("segmented")
        self._metrics.decoded(turn.frame.decoder)
        self._answer(partial(self._sink.mask, mask))

    def dropped(self, drops: Sequence[Dropped]) -> None:
        """Report frames that will get no mask."""
        for drop in drops:
            self._metrics.frame("dropped", drop.cause)
        self._report_dropped(drops)

    def left(self, drops: Sequence[Dropped]) -> None:
        """Report frames that were waiting when their client left; they do not count as dropped."""
        if drops:
            self._metrics.frame("left", count=len(drops))
        self._report_dropped(drops)

    def failed(self, turn: Turn, error: MastreamError) -> None:
        """Report a frame whose step failed for good."""
        if turn.rebuild:
            return
        self._metrics.frame("failed", error.code)
        self._answer(partial(self._sink.faulted, turn.frame, turn.reset, error))
        self._answer(partial(self._sink.failed, turn.frame.seq, error))

    def wake(self) -> None:
        """Let the waiters in :meth:`until` check their condition again."""
        self._changes.notify()

    async def until(self, met: Callable[[], bool]) -> None:
        """Wait until a condition on the session is met."""
        await self._changes.until(met)

    def _report_dropped(self, drops: Sequence[Dropped]) -> None:
        if drops:
            self._answer(partial(self._sink.dropped, drops))

    def _answer(self, answer: Callable[[], None]) -> None:
        try:
            answer()
        except Exception:
            log.exception("%r failed to take an answer", self._sink)
        self.wake()


def _mask_of(turn: Turn, stepped: Stepped, slot: int) -> Mask:
    queue, step = stepped.began - turn.offered, stepped.ended - stepped.began
    return Mask(
        stepped.labels[slot],
        turn.frame,
        stepped.filled[slot],
        turn.reset,
        len(stepped.labels),
        StageTimes.of_seconds(turn.frame.wait, turn.frame.decode, queue, step),
        (stepped.submitted, stepped.began, stepped.ended),
    )


class Deliveries:
    """The deliveries of all sessions that can still be answered.

    A session keeps its delivery from :meth:`add` until it is closed and none of its frames is in a
    step; :meth:`free` is called whenever either may have become true. A delivery refers to its
    session through its sink, so only this rule frees it.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._deliveries: dict[Session, Delivery] = {}

    def __repr__(self) -> str:
        return f"<Deliveries {len(self)}>"

    def __len__(self) -> int:
        return len(self._deliveries)

    def __contains__(self, session: Session) -> bool:
        return session in self._deliveries

    def __getitem__(self, session: Session) -> Delivery:
        return self._deliveries[session]

    def add(self, session: Session, sink: Sink) -> None:
        self._deliveries[session] = Delivery(sink, self._metrics)

    def get(self, session: Session) -> Delivery | None:
        """Return the delivery of a session, or None if it was freed."""
        return self._deliveries.get(session)

    def free(self, session: Session) -> None:
        """Forget a session that is closed and has no frame in a step. Idempotent."""
        if session.closed and session.in_flight is None:
            self._deliveries.pop(session, None)
