"""The common interface of a Worker and a Fleet of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from models.spec import ModelSpec
from protocol import DropPolicy
from server.engines.info import EngineInfo
from server.frame import Frame, ResetCause
from server.scheduling.session import Session
from server.sinks.base import Sink
from server.workers.worker import Worker, WorkerState


class Serving(Protocol):
    """Serves sessions; the methods are documented at Worker."""

    make_room: Callable[[], bool]

    @property
    def state(self) -> WorkerState: ...

    @property
    def ready(self) -> bool: ...

    @property
    def spec(self) -> ModelSpec: ...

    @property
    def engines(self) -> tuple[EngineInfo, ...]: ...

    @property
    def workers(self) -> tuple[Worker, ...]: ...

    def last_step_age(self, now: float) -> float: ...

    async def start(self) -> None: ...

    async def stop(self, timeout: float = 5.0) -> None: ...  # noqa: ASYNC109  as Worker's

    def open(
        self,
        sink: Sink,
        *,
        policy: DropPolicy,
        window: int,
        budget: float | None = None,
        background: bool = False,
        owner: str = "",
    ) -> Session: ...

    def offer(self, session: Session, frame: Frame) -> None: ...

    async def wait_for_room(self, session: Session) -> None: ...

    async def wait_until_wanted(self, session: Session) -> None: ...

    async def settled(self, session: Session) -> None: ...

    def reset(self, session: Session, cause: ResetCause = ResetCause.CLIENT) -> None: ...

    def close(self, session: Session) -> None: ...
