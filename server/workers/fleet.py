"""Several engines, one per GPU, each with its own worker, behind one interface."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from models.spec import ModelSpec
from protocol import DropPolicy
from server.admission import Limit
from server.engines.info import EngineInfo
from server.errors import Draining, NoCapacity
from server.frame import Frame, ResetCause
from server.scheduling.session import Session
from server.sinks.base import Sink
from server.workers.worker import Worker, WorkerState


class Fleet:
    """Gives each session to the least loaded worker. It stays there because its memory is on that
    worker's GPU. If an engine dies, only the memories of its own sessions are lost.

    At most ``max_sessions`` are accepted in total, and ``key_sessions`` of one owner. The workers
    after the first are for further GPUs: if the first engine runs on the CPU, they are not started.
    ``make_room`` is the same as for Worker.
    """

    def __init__(
        self, workers: Sequence[Worker], *, max_sessions: int, key_sessions: int | None = None
    ) -> None:
        assert workers, "a fleet has at least one worker"
        self.workers = tuple(workers)
        self.make_room: Callable[[], bool] = lambda: False
        self._limit = Limit("sessions", key_sessions, max_sessions)

    def __repr__(self) -> str:
        return f"<Fleet {self.state.value} {list(self.workers)!r}>"

    @property
    def state(self) -> WorkerState:
        """Return the workers' common state: they start and stop together."""
        states = {worker.state for worker in self.workers}
        for state in (WorkerState.STOPPED, WorkerState.STARTING):
            if state in states:
                return state
        return WorkerState.SERVING

    @property
    def spec(self) -> ModelSpec:
        """Return the model that is served; known once :meth:`start` returned."""
        return self.workers[0].spec

    @property
    def engines(self) -> tuple[EngineInfo, ...]:
        """Return what actually runs the model, one per GPU; known once :meth:`start` returned."""
        return tuple(built for worker in self.workers for built in worker.engines)

    @property
    def ready(self) -> bool:
        """Return whether an engine is warm, so that new sessions are served."""
        return self.state is WorkerState.SERVING and any(w.ready for w in self.workers)

    def last_step_age(self, now: float) -> float:
        """Return the age of the oldest step: see Worker."""
        return max(worker.last_step_age(now) for worker in self.workers)

    async def start(self) -> None:
        """Make every engine; return once all are warm. Raises what making one raised."""
        first, *others = self.workers
        await first.start()
        if first.engines[0].device == "cpu":
            self.workers = (first,)
            return
        await asyncio.gather(*(worker.start() for worker in others))

    async def stop(self, timeout: float = 5.0) -> None:  # noqa: ASYNC109  as Worker's
        """Stop every worker. Idempotent."""
        await asyncio.gather(*(worker.stop(timeout) for worker in self.workers))

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
        """Open a session with an empty memory; in the ``background``, live ones go first.

        Raises TooMany if its owner has as many as allowed, NoCapacity if the server is full or has
        not started, Draining if it is stopping.
        """
        self._check_serving()
        self._check_room("" if background else owner)
        return least_loaded(self.workers).open(
            sink, policy=policy, window=window, budget=budget, background=background, owner=owner
        )

    def offer(self, session: Session, frame: Frame) -> None:
        """Offer a frame: see Worker."""
        self._worker_of(session).offer(session, frame)

    async def wait_for_room(self, session: Session) -> None:
        """Wait until a frame can be offered without a drop, or :meth:`offer` would raise."""
        await self._worker_of(session).wait_for_room(session)

    async def wait_until_wanted(self, session: Session) -> None:
        """Wait while a newer frame is not worth decoding: see Worker."""
        await self._worker_of(session).wait_until_wanted(session)

    async def settled(self, session: Session) -> None:
        """Wait until every frame offered has been answered."""
        await self._worker_of(session).settled(session)

    def reset(self, session: Session, cause: ResetCause = ResetCause.CLIENT) -> None:
        """Empty the memory before the next frame offered."""
        self._worker_of(session).reset(session, cause)

    def close(self, session: Session) -> None:
        """Close the session and drop its waiting frames: see Worker. Idempotent."""
        self._worker_of(session).close(session)

    def _worker_of(self, session: Session) -> Worker:
        """Return the session's worker; if it is closed, any worker, which treats it as closed."""
        return next((w for w in self.workers if w.holds(session)), self.workers[0])

    def _check_room(self, owner: str) -> None:
        """Raise TooMany or NoCapacity unless an owner ("" for nobody in particular) may have one
        more session."""
        own = sum(worker.sessions_of(owner) for worker in self.workers) if owner else 0
        taken = sum(worker.sessions for worker in self.workers)
        try:
            self._limit.check(own, taken)
        except NoCapacity:
            if not self.make_room():
                raise

    def _check_serving(self) -> None:
        if self.state is WorkerState.STARTING:
            raise NoCapacity("The engines are being started; try again in a moment.")
        if self.state is WorkerState.STOPPED:
            raise Draining("The service is about to stop; try again in a moment.")


def least_loaded(workers: Sequence[Worker]) -> Worker:
    """Return the worker with the fewest sessions among those whose engine is warm, or among all if
    none is; the first one of equals."""
    warm = [worker for worker in workers if worker.ready]
    return min(warm or workers, key=lambda worker: worker.sessions)
