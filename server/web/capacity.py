"""/v1/capacity: how many frames this server can segment, and how much of its limits is used."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from server.scheduling.capacity import Capacity
from server.web.access.auth import client_of
from server.web.problems import PROBLEMS


class StepBody(BaseModel):
    """Steps of one batch size."""

    frames: int
    ms: float = Field(description="median of the last steps, those of the warm-up at first")
    frames_per_second: float


class EngineCapacity(BaseModel):
    """The capacity of one engine, measured at its start and while it serves."""

    steps: list[StepBody]
    frames_per_second: float = Field(description="frames per second in its best batches")
    batch_gain: float = Field(
        description="speed in its best batches divided by the speed one by one"
    )
    used: float = Field(description="frames per second over the last 10 s")
    busy: float = Field(description="share of the last 10 s in which it computed, 0 to 1")
    left: float = Field(description="further frames per second that are possible")


class LimitBody(BaseModel):
    """One limit and how much of it is used; null: there is no limit."""

    used: int
    total: int | None
    yours: int | None = Field(description="how much you use; null if it is not counted per client")
    each: int | None = Field(description="how much one client may use")


class CapacityBody(BaseModel):
    """The server's capacity, and what is left of it."""

    frames_per_second: float
    used: float
    left: float
    engines: list[EngineCapacity]
    limits: dict[str, LimitBody]


@dataclass(frozen=True, slots=True)
class LimitFacts:
    """A limit and the sources of its counts; ``used`` and ``used_by`` may block."""

    total: int | None
    each: int | None
    used: Callable[[], int]
    used_by: Callable[[str], int] | None = None


def capacity_router(
    engines: Callable[[float], Sequence[Capacity]],
    limits: dict[str, LimitFacts],
    clock: Callable[[], float] = time.monotonic,
) -> APIRouter:
    """Return the route."""
    router = APIRouter(prefix="/v1/capacity", tags=["server"], responses=PROBLEMS)

    @router.get("")
    async def get_capacity(request: Request) -> CapacityBody:
        """Return how many frames per second this server can segment, and what is left of it."""
        taken = await run_in_threadpool(_taken, limits, client_of(request))
        return _body([_engine(one) for one in engines(clock())], taken)

    return router


def _body(engines: list[EngineCapacity], limits: dict[str, LimitBody]) -> CapacityBody:
    return CapacityBody(
        frames_per_second=sum(one.frames_per_second for one in engines),
        used=sum(one.used for one in engines),
        left=sum(one.left for one in engines),
        engines=engines,
        limits=limits,
    )


def _engine(one: Capacity) -> EngineCapacity:
    return EngineCapacity(
        steps=[
            StepBody(
                frames=step.size,
                ms=round(step.seconds * 1000, 2),
                frames_per_second=round(step.rate, 1),
            )
            for step in one.steps
        ],
        frames_per_second=round(one.rate, 1),
        batch_gain=round(one.gain, 2),
        used=round(one.used, 1),
        busy=round(one.busy, 3),
        left=round(one.left, 1),
    )


def _taken(limits: dict[str, LimitFacts], client: str) -> dict[str, LimitBody]:
    return {
        name: LimitBody(
            used=facts.used(),
            total=facts.total,
            yours=facts.used_by(client) if facts.used_by else None,
            each=facts.each,
        )
        for name, facts in limits.items()
    }
