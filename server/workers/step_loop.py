"""The loop around one engine: it runs the scheduler's batches and delivers their results.

With the engine's supervisor it is the only place where the event loop meets the engine's thread:
sessions, scheduler and deliveries belong to the event loop, the engine to its thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from server.changes import Changes
from server.engines.base import Engine
from server.engines.info import EngineInfo
from server.errors import EngineDead, EngineFault
from server.metrics import Metrics
from server.scheduling.capacity import StepTimes
from server.scheduling.scheduler import Batch, Scheduler
from server.scheduling.session import Session
from server.scheduling.turns import Turn
from server.workers.delivery import Deliveries, Delivery
from server.workers.engine_supervisor import EngineSupervisor, StepResult
from server.workers.engine_thread import Step, Stepped
from server.workers.step_deadline import Deadline

log = logging.getLogger(__name__)

Turns = list[tuple[Session, Turn]]


class StepLoop:
    """Keeps an engine busy as long as a session has a frame ready; one step at a time.

    Frames of a failed batch, or of a step in which the engine died, are tried once more, alone.
    Memories that were lost with an engine are rebuilt from each session's last frames. Mutable
    state: the frames in the current step, when a step last began or ended, and whether to stop.
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
            make_engine, self._serve_with, deadline=deadline, backoff=backoff, clock=clock
        )
        self._scheduler = scheduler
        self._deliveries = deliveries
        self._metrics = metrics
        self._clock = clock
        self.step_times = StepTimes()
        self._turns: Turns = []
        self._progress = clock()
        self._stopping = False
        self._changes = Changes()
        self._running: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<StepLoop {self.engine!r} {self._scheduler!r}>"

    def last_step_age(self, now: float) -> float:
        """Return the seconds since a step last began or ended, 0.0 while there is nothing to do."""
        busy = self._turns or self._has_work()
        return max(0.0, now - self._progress) if busy else 0.0

    async def start(self) -> None:
        """Make the engine; return once it is warmed up. Raises what making it raised."""
        await self.engine.start()
        self._running = asyncio.create_task(self._run())
        self._running.add_done_callback(_report_end)

    async def stop(self, timeout: float) -> None:  # noqa: ASYNC109  it gives up, no error
        """Close the engine. The frames of a step that does not end within ``timeout`` seconds fail,
        and its thread is abandoned. Idempotent."""
        self._stopping = True
        self._changes.notify()
        await self.engine.stop(timeout)
        if self._running:
            await self._running

    def notify(self) -> None:
        """Look for work again, after all frames that are arriving now have been offered and can
        share a step."""
        self._changes.notify()

    async def _run(self) -> None:
        """Run step after step; deliver the answers of each while the next one runs."""
        deliver: Callable[[], None] = _nothing
        while not self._stopping:
            result = self._begin()
            deliver()
            deliver = _nothing  # releases the masks delivered
            if result:
                deliver = await self._end(result)
            else:
                await self._wait_for_work()
        deliver()

    def _begin(self) -> asyncio.Future[StepResult] | None:
        """Start the next step, if the engine is free and a frame is ready."""
        if not self.engine.free:
            return None
        batch = self._scheduler.schedule(self._clock())
        self._drop_expired(batch)
        if not batch.turns:
            return None
        self._turns, self._progress = batch.turns, self._clock()
        for session, _ in batch.turns:
            self._deliveries[session].wake()
        return self.engine.submit(_step_of(batch.turns, self._progress))

    async def _end(self, result: asyncio.Future[StepResult]) -> Callable[[], None]:
        """Wait for the step's end and keep its memories; return a call that delivers its masks."""
        match await result:
            case Stepped() as stepped:
                return self._keep(stepped)
            case EngineDead() as error:
                self._return(error, may_retry=lambda turn: not turn.alone)
            case error:
                log.warning("a step of %d frames failed: %s", len(self._turns), error)
                shared = len(self._turns) > 1
                self._return(error, may_retry=lambda _: shared)
        return _nothing

    async def _wait_for_work(self) -> None:
        await self._changes.until(lambda: self._stopping or (self.engine.free and self._has_work()))

    def _has_work(self) -> bool:
        return any(session.ready for session in self._scheduler)

    def _drop_expired(self, batch: Batch) -> None:
        expired = [(self._deliveries[session], drops) for session, drops in batch.drops]
        for delivery, drops in expired:
            delivery.dropped(drops)

    def _keep(self, stepped: Stepped) -> Callable[[], None]:
        turns = self._take_turns()
        # Looked up before any answer is delivered: a sink may close any session of the batch.
        deliveries = [self._deliveries[session] for session, _ in turns]
        for (session, _), memory in zip(turns, stepped.memories, strict=True):
            session.finish(memory)
        return partial(self._deliver, turns, deliveries, stepped)

    def _deliver(self, turns: Turns, deliveries: list[Delivery], stepped: Stepped) -> None:
        for slot, (delivery, (session, turn)) in enumerate(zip(deliveries, turns, strict=True)):
            delivery.mask(turn, stepped, slot)
            self._deliveries.free(session)
        self._metrics.batch(len(turns))
        self.step_times.observe(len(turns), stepped.began, stepped.ended)
        self._metrics.stage("gather", stepped.began - stepped.submitted)
        self._metrics.stage("step", stepped.ended - stepped.began)
        self._metrics.stage("scatter", self._clock() - stepped.ended)

    def _return(self, error: EngineFault, may_retry: Callable[[Turn], bool]) -> None:
        """Queue frames without a result again, alone, or fail them for good."""
        for session, turn in self._take_turns():
            if may_retry(turn) and not session.closed:
                session.retry()
                continue
            self._deliveries[session].failed(session.fail(), error)
            self._deliveries.free(session)

    def _take_turns(self) -> Turns:
        turns, self._turns = self._turns, []
        self._progress = self._clock()
        return turns

    def _serve_with(self, engine: EngineInfo, restarted: bool) -> None:
        """Use a new engine, which has no memories: each session rebuilds its memory by replaying
        its last frames. No step may be running."""
        if restarted:
            self._metrics.engine_restarted()
        for session in self._scheduler:
            session.lose_memory()
        self._scheduler.max_batch = engine.max_batch
        self.step_times.start(engine.step_seconds)
        self._changes.notify()


def _nothing() -> None:
    """Deliver nothing."""


def _step_of(turns: Turns, now: float) -> Step:
    frames = [turn.frame.pixels for _, turn in turns]
    memories = [None if turn.reset else session.memory for session, turn in turns]
    return Step(frames, memories, submitted=now)


def _report_end(running: asyncio.Task[None]) -> None:
    """Log an error that ended the loop: nothing is segmented from then on."""
    if not running.cancelled() and (error := running.exception()):
        log.critical("the loop around the engine failed", exc_info=error)
