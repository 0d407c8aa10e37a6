"""One engine and the sessions that it serves, as the rest of the service uses them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum

from models.spec import ModelSpec
from protocol import DropPolicy
from server.engines.base import Engine
from server.engines.info import EngineInfo
from server.errors import Draining, NoCapacity
from server.frame import Frame, ResetCause
from server.metrics import Metrics
from server.scheduling.capacity import Capacity
from server.scheduling.scheduler import Scheduler
from server.scheduling.session import Session
from server.sinks.base import Sink
from server.workers.delivery import Deliveries
from server.workers.step_deadline import Deadline
from server.workers.step_loop import StepLoop


class WorkerState(Enum):
    STARTING = "starting"
    SERVING = "serving"
    STOPPED = "stopped"


class Worker:
    """Serves many sessions with one engine. One event loop uses it; it never blocks that loop.

    ``make_engine`` is called in a separate thread, and again after each death of an engine; a step
    longer than ``step_deadline`` seconds counts as a death (None: see Deadline). Frames of a failed
    batch, or of a step in which the engine died, are tried once more, alone. Memories that were
    lost with an engine are rebuilt from each session's last frames; if that would not be exact
    (``memory_horizon`` None), a stream continues with an empty memory and the reset cause
    ``engine``.

    Background sessions are served in at least ``background_share`` of the steps in which one of
    them is ready. ``make_room`` is called when all sessions are taken; it returns whether it closed
    one.
    """

    def __init__(
        self,
        make_engine: Callable[[], Engine],
        *,
        max_sessions: int = 64,
        step_deadline: float | None = None,
        backoff: float = 0.5,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
        background_share: float = 0.1,
    ) -> None:
        self.state = WorkerState.STARTING
        self.make_room: Callable[[], bool] = lambda: False
        self._max_sessions = max_sessions
        self._metrics = metrics or Metrics()
        self._clock = clock
        self._scheduler = Scheduler(max_batch=1, share=background_share)
        self._deliveries = Deliveries(self._metrics)
        self._step_loop = StepLoop(
            make_engine,
            self._scheduler,
            self._deliveries,
            deadline=Deadline(step_deadline),
            backoff=backoff,
            metrics=self._metrics,
            clock=clock,
        )
        self._engine = self._step_loop.engine
        self._metrics.watch_sessions(self._scheduler, lambda: self.spec.memory_bytes)
        self._metrics.watch_step_age(lambda: self.last_step_age(clock()))
        self._metrics.watch_engine(lambda: self._engine.built if self._engine.warm else None)

    def __repr__(self) -> str:
        return f"<Worker {self.state.value} {self._engine!r} {self._scheduler!r}>"

    @property
    def spec(self) -> ModelSpec:
        """Return the model that is served; known once :meth:`start` returned."""
        return self._built.spec

    @property
    def provider(self) -> str:
        """Return what actually runs the model; known once :meth:`start` returned."""
        return self._built.provider

    @property
    def engines(self) -> tuple[EngineInfo, ...]:
        """Return the description of the engine; known once :meth:`start` returned."""
        return (self._built,)

    @property
    def workers(self) -> tuple[Worker, ...]:
        """Return the worker itself: see Fleet."""
        return (self,)

    @property
    def sessions(self) -> int:
        """Return how many sessions are open."""
        return len(self._scheduler)

    def sessions_of(self, owner: str) -> int:
        """Return how many live sessions of an owner are open and not parked."""
        own = (one for one in self._scheduler if one.owner == owner)
        return sum(not (one.background or one.parked) for one in own)

    @property
    def restarts(self) -> int:
        """Return how often a warm engine replaced a dead one."""
        return self._engine.restarts

    @property
    def ready(self) -> bool:
        """Return whether a warm engine serves and new sessions are accepted."""
        return self._engine.warm and self.state is WorkerState.SERVING

    def capacity(self, now: float) -> Capacity:
        """Return the engine's capacity, according to the steps that it has made."""
        return self._step_loop.step_times.capacity(now)

    def last_step_age(self, now: float) -> float:
        """Return the seconds since a step last began or ended, 0.0 while there is nothing to do."""
        return self._step_loop.last_step_age(now)

    async def start(self) -> None:
        """Make the engine; return once it is warmed up. Raises what making it raised."""
        await self._step_loop.start()
        self.state = WorkerState.SERVING

    async def replace_engine(self, make_engine: Callable[[], Engine]) -> None:
        """Switch to another engine, made while this one serves; no frame is dropped because of it.

        Memories are rebuilt as after a death. Raises what making it raised, and Conflict if it
        runs another model or if one is being made already; this engine then stays. Raises
        NoCapacity before :meth:`start` and Draining after :meth:`stop`.
        """
        self._check_serving()
        await self._engine.replace(make_engine)

    async def stop(self, timeout: float = 5.0) -> None:  # noqa: ASYNC109  it gives up, no error
        """Close every session and the engine. The frames of a step that does not end within
        ``timeout`` seconds fail, and its thread is abandoned. Idempotent."""
        self.state = WorkerState.STOPPED
        for session in self._scheduler:
            self.close(session)
        await self._step_loop.stop(timeout)

    def open(
        self,
        sink: Sink,
        *,
        policy: DropPolicy,
        window: int,
        budget: float | None = None,
        background: bool = False,
        owner: str = "",
    ) -> Session:
        """Open a session of ``owner`` with an empty memory; in the ``background``, live sessions go
        first.

        Raises NoCapacity if the server is full or has not started, Draining if it is stopping.
        """
        self._check_serving()
        if len(self._scheduler) >= self._max_sessions and not self.make_room():
            raise NoCapacity(f"All {self._max_sessions} sessions are taken; try again later.")
        horizon = self.spec.memory_horizon
        session = Session(
            policy,
            window=window,
            budget=budget,
            horizon=horizon,
            background=background,
            owner=owner,
        )
        self._deliveries.add(session, sink)
        self._scheduler.add(session)
        return session

    def offer(self, session: Session, frame: Frame) -> None:
        """Offer a frame of the model's size; frames dropped because of it are reported to the sink.

        Raises OutOfSequence if its seq did not rise, Conflict if the session is closed and Draining
        if the server is stopping; the frame is not accepted then.
        """
        size = (self.spec.height, self.spec.width, 3)
        assert frame.pixels.shape == size, f"a frame is {size}, not {frame.pixels.shape}"
        self._check_serving()
        drops = session.offer(frame, self._clock())
        self._deliveries[session].dropped(drops)
        self._step_loop.notify()

    async def wait_for_room(self, session: Session) -> None:
        """Wait until a frame can be offered without a drop, or :meth:`offer` would raise."""

        def is_over() -> bool:
            return session.closed or self.state is not WorkerState.SERVING

        if delivery := self._deliveries.get(session):
            await delivery.until(lambda: is_over() or session.has_room)

    async def wait_until_wanted(self, session: Session) -> None:
        """Wait while a newer frame is not worth decoding in place of one that waits: see
        :attr:`Session.wanted_at`."""
        delivery = self._deliveries.get(session)
        while delivery and (left := session.wanted_at - self._clock()) > 0:
            if session.closed or self.state is not WorkerState.SERVING:
                return
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await delivery.until(lambda: session.closed or not session.waiting)

    async def settled(self, session: Session) -> None:
        """Wait until every frame offered has been answered."""
        if delivery := self._deliveries.get(session):
            await delivery.until(lambda: not session.unanswered)

    def reset(self, session: Session, cause: ResetCause = ResetCause.CLIENT) -> None:
        """Empty the memory before the next frame offered; those offered before still use it."""
        session.reset(cause)

    def close(self, session: Session) -> None:
        """Close the session and drop its waiting frames, reported as ``stale`` and counted as
        ``left``. A frame in its step is still answered; only then is the sink released. Idempotent.
        """
        self._scheduler.remove(session)
        if delivery := self._deliveries.get(session):
            delivery.left(session.close())
            delivery.wake()
            self._deliveries.free(session)

    def holds(self, session: Session) -> bool:
        """Return whether the session is open here, or still awaits an answer."""
        return session in self._deliveries

    @property
    def _built(self) -> EngineInfo:
        assert self._engine.built, "the worker was not started"
        return self._engine.built

    def _check_serving(self) -> None:
        if self.state is WorkerState.STARTING:
            raise NoCapacity("The engine is being started; try again in a moment.")
        if self.state is not WorkerState.SERVING:
            raise Draining("The service is about to stop; try again in a moment.")
