"""The loop around one engine: what the scheduler chooses goes in, results go to the deliveries.

With its engine keeper it is the only place where the event loop meets the engine's thread:
sessions, scheduler and deliveries belong to the loop, the engine to its thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from server.engines.base import Engine
from server.engines.info import EngineInfo
from server.errors import EngineDead, EngineFault
from server.metrics import Metrics
from server.scheduling.scheduler import Scheduler
from server.scheduling.session import Session
from server.scheduling.turns import Turn
from server.workers.delivery import Deliveries
from server.workers.engine_supervisor import EngineSupervisor
from server.workers.engine_thread import Died, Failed, Replaced, Report, Step, Stepped
from server.workers.step_deadline import Deadline

log = logging.getLogger(__name__)


class StepLoop:
    """Keeps an engine at work as long as a session has a frame ready; one step at a time.

    Frames of a failed batch, or of a fatal step, are tried once more, alone. Memories that died
    with an engine are rebuilt from each session's last frames.
    """

    def __init__(
        self,
        make_engine: Callable[[], Engine],
        scheduler: Scheduler,
        deliveries: Deliveries,
        *,
        deadline: Deadline,
        backoff: float,
        metrics: Metrics,
        clock: Callable[[], float],
    ) -> None:
        self.engine = EngineSupervisor(
            make_engine, self._hear, deadline=deadline, backoff=backoff, clock=clock
        )
        self._scheduler = scheduler
        self._deliveries = deliveries
        self._metrics = metrics
        self._clock = clock
        self._batch: list[tuple[Session, Turn]] = []
        """What is in the step under way; empty while there is none."""
        self._is_due = False
        self._progress = clock()
        """When a step last began or ended."""

    def __repr__(self) -> str:
        return f"<StepLoop {self.engine!r} {self._scheduler!r}>"

    def last_step_age(self, now: float) -> float:
        """Seconds since a step last began or ended, 0.0 while there is nothing to do."""
        busy = self._batch or any(session.ready for session in self._scheduler)
        return max(0.0, now - self._progress) if busy else 0.0

    async def start(self) -> None:
        """Make the engine; returns once it is warmed up. Raises what making it raised."""
        self._loop = asyncio.get_running_loop()
        await self.engine.start()

    async def stop(self, timeout: float) -> None:  # noqa: ASYNC109  it gives up, no error
        """Close the engine. A step that does not end within ``timeout`` seconds fails its frames
        and is left behind."""
        await self.engine.stop(timeout)
        self._return_batch(EngineDead("the service stopped"), may_retry=lambda _: False)

    def soon(self) -> None:
        """Go on once all that is arriving now was offered, so that it shares a step."""
        if not self._is_due:
            self._is_due = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Give the engine its next step, if it is free and there is one."""
        self._is_due = False
        if not self.engine.free:
            return
        plan = self._scheduler.schedule(self._clock())
        if plan.turns:
            self._submit(plan.turns)
        for delivery, drops in [
            (self._deliveries[session], drops) for session, drops in plan.drops
        ]:
            delivery.dropped(drops)

    def _submit(self, turns: list[tuple[Session, Turn]]) -> None:
        self._batch = turns
        self._progress = self._clock()
        frames = [turn.frame.pixels for _, turn in turns]
        memories = [None if turn.reset else session.memory for session, turn in turns]
        self.engine.submit(Step(frames, memories, submitted=self._progress))

    def _hear(self, report: Report) -> None:
        match report:
            case EngineInfo():
                self._begin(report)
            case Replaced(built):
                self._lose_memories()
                self._serve_with(built)
            case Stepped():
                self._finish(report)
            case Failed(error):
                self._fail(error)
            case Died(error):
                self._rebuild(error)

    def _begin(self, built: EngineInfo) -> None:
        if self.engine.restarts:
            self._metrics.engine_restarted()
        self._serve_with(built)

    def _serve_with(self, built: EngineInfo) -> None:
        self._scheduler.max_batch = built.max_batch
        self._go_on()

    def _finish(self, stepped: Stepped) -> None:
        """Keep the memories, put the engine to work again, then hand on the masks."""
        batch = self._end_batch()
        # Taken before any answer is delivered: a sink may close any session of the batch.
        deliveries = [self._deliveries[session] for session, _ in batch]
        for (session, _), memory in zip(batch, stepped.memories, strict=True):
            session.finish(memory)
        self._go_on()
        for slot, (delivery, (session, turn)) in enumerate(zip(deliveries, batch, strict=True)):
            delivery.mask(turn, stepped, slot)
            self._deliveries.free(session)
        self._metrics.batch(len(batch))
        self._metrics.stage("gather", stepped.began - stepped.submitted)
        self._metrics.stage("step", stepped.ended - stepped.began)
        self._metrics.stage("scatter", self._clock() - stepped.ended)

    def _fail(self, error: EngineFault) -> None:
        """One frame may be to blame: those of a batch are tried again, each alone."""
        log.warning("a step of %d frames failed: %s", len(self._batch), error)
        shared = len(self._batch) > 1
        self._return_batch(error, may_retry=lambda _: shared)
        self._go_on()

    def _rebuild(self, error: BaseException) -> None:
        """The engine died and comes again, without the memories that it held."""
        self._return_batch(_as_dead(error), may_retry=lambda turn: not turn.alone)
        self._lose_memories()

    def _lose_memories(self) -> None:
        """No step is under way: each session brings its own back by replaying its last frames."""
        for session in self._scheduler:
            session.lose_memory()

    def _return_batch(self, error: EngineFault, may_retry: Callable[[Turn], bool]) -> None:
        """No result for the frames under way: they are tried again, alone, or fail for good."""
        for session, turn in self._end_batch():
            if may_retry(turn) and not session.closed:
                session.retry()
                continue
            self._deliveries[session].failed(session.fail(), error)
            self._deliveries.free(session)

    def _end_batch(self) -> list[tuple[Session, Turn]]:
        batch, self._batch = self._batch, []
        self._progress = self._clock()
        return batch


def _as_dead(error: BaseException) -> EngineDead:
    """What is told of it: a foreign error is not the stream's business."""
    return error if isinstance(error, EngineDead) else EngineDead("the engine broke down")
