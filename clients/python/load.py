"""The load generator: N streams at a rate, and what they met."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from clients.python.client import connect
from clients.python.errors import ClientError
from clients.python.ledger import Ledger
from clients.python.measures import Outcome, Times
from clients.python.pictures import Frame
from clients.python.stream import Stream
from protocol import DropPolicy, MaskEncoding, MaskSize

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do to a server. ``pictures`` are sent in turn; ``rate`` is of each stream, in
    frames a second, for ``seconds``."""

    url: str
    streams: int
    rate: float
    seconds: float
    pictures: Sequence[bytes]
    policy: DropPolicy = DropPolicy.LATEST
    output: MaskEncoding = MaskEncoding.PNG
    size: MaskSize = MaskSize.INPUT
    budget_ms: float | None = None
    model: str | None = None

    @property
    def planned(self) -> int:
        """Frames that all streams together have to offer."""
        return self.streams * max(1, round(self.rate * self.seconds))


@dataclass(slots=True)
class StreamResult:
    """One stream's part; ``error`` is what ended it before its time."""

    ledger: Ledger
    times: Times = field(default_factory=Times)
    error: str = ""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a plan came to. ``held`` frames were never sent, since the window was full."""

    plan: Plan
    elapsed: float
    streams: Sequence[StreamResult]

    @property
    def outcome(self) -> Outcome:
        return Outcome.of(stream.ledger for stream in self.streams)

    @property
    def held(self) -> int:
        return self.plan.planned - self.outcome.sent

    @property
    def times(self) -> Times:
        return Times().join(stream.times for stream in self.streams)

    @property
    def errors(self) -> list[str]:
        return [stream.error for stream in self.streams if stream.error]

    @property
    def fps(self) -> list[float]:
        """Masks a second of each stream."""
        return [stream.ledger.masks / self.elapsed for stream in self.streams]

    @property
    def passed(self) -> bool:
        return self.outcome.answered_once and not self.errors

    def to_dict(self) -> dict[str, Any]:
        plan, fps = self.plan, self.fps
        return {
            "streams": plan.streams,
            "rate": plan.rate,
            "seconds": plan.seconds,
            "elapsed": round(self.elapsed, 3),
            "policy": str(plan.policy),
            "output": str(plan.output),
            "frames": {**self.outcome.to_dict(), "held": self.held},
            "fps": {"total": sum(fps), "slowest": min(fps), "fastest": max(fps)},
            "ms": self.times.summary(),
            "errors": self.errors,
            "passed": self.passed,
        }


async def run_load(plan: Plan) -> LoadResult:
    """Open all streams, then feed them side by side. Raises a ClientError where none opens."""
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(_opened(plan)) for _ in range(plan.streams)]
        began = time.monotonic()
        results = await asyncio.gather(
            *(_feed(stream, plan, began, index) for index, stream in enumerate(streams))
        )
        return LoadResult(plan, time.monotonic() - began, results)


def _opened(plan: Plan) -> AbstractAsyncContextManager[Stream]:
    return connect(
        plan.url,
        model=plan.model,
        output=plan.output,
        size=plan.size,
        policy=plan.policy,
        budget_ms=plan.budget_ms,
        decode=False,
    )


async def _feed(stream: Stream, plan: Plan, began: float, index: int) -> StreamResult:
    """One stream from its first frame to its last answer; its phase is its own."""
    result = StreamResult(stream.ledger)
    start = began + index / (plan.streams * plan.rate)
    try:
        async for mask in stream.segment(camera(plan, start)):
            result.times.add(mask)
    except ClientError as error:
        result.error = str(error)
    return result


async def camera(plan: Plan, start: float, clock: Clock = time.monotonic) -> AsyncIterator[Frame]:
    """Frames when they are due. Like a camera it waits for nobody: what is asked for late is the
    frame of that time, and those before it are gone."""
    index, count = 0, plan.planned // plan.streams
    while index < count:
        await asyncio.sleep(max(0.0, start + index / plan.rate - clock()))
        yield Frame(plan.pictures[index % len(plan.pictures)], index / plan.rate)
        index = max(index + 1, int((clock() - start) * plan.rate))
