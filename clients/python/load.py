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
        return self.due(self.seconds)

    def phase(self, index: int) -> float:
        """How much later than the first stream one begins: they are spread over one interval."""
        return index / (self.streams * self.rate)

    def due(self, elapsed: float) -> int:
        """Frames that they have to offer in the first ``elapsed`` seconds."""
        return self.streams * max(1, round(self.rate * min(elapsed, self.seconds)))


@dataclass(slots=True)
class StreamResult:
    """One stream's part; ``error`` is what ended it before its time."""

    ledger: Ledger
    times: Times = field(default_factory=Times)
    error: str = ""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a plan came to, or had come to when it was ``interrupted``. ``held`` frames were due
    and never sent, since the window was full."""

    plan: Plan
    elapsed: float
    streams: Sequence[StreamResult]
    interrupted: bool = False

    @property
    def outcome(self) -> Outcome:
        return Outcome.of(stream.ledger for stream in self.streams)

    @property
    def held(self) -> int:
        due = self.plan.due(self.elapsed) if self.interrupted else self.plan.planned
        return max(0, due - self.outcome.sent)

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
        return self.outcome.answered_once and not self.errors and not self.interrupted

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
            "interrupted": self.interrupted,
            "passed": self.passed,
        }


class Load:
    """A plan under way. Its state, the streams' results so far and when the first frame was due
    and the last moment of measuring, can be looked at at any time, so that what was measured
    survives an interruption."""

    def __init__(self, plan: Plan, clock: Clock = time.monotonic) -> None:
        self.plan = plan
        self._clock = clock
        self._streams: list[StreamResult] = []
        self._began: float | None = None
        self._ended: float | None = None

    @property
    def elapsed(self) -> float | None:
        """Seconds of measuring; None before the first frame was due."""
        if self._began is None:
            return None
        return (self._clock() if self._ended is None else self._ended) - self._began

    async def run(self) -> LoadResult:
        """Open all streams, then feed them side by side. Raises a ClientError if one does not
        open."""
        plan = self.plan
        async with AsyncExitStack() as stack:
            opened = [await stack.enter_async_context(_opened(plan)) for _ in range(plan.streams)]
            self._streams = [StreamResult(stream.ledger) for stream in opened]
            self._began = began = self._clock()
            pairs = enumerate(zip(opened, self._streams, strict=True))
            feeds = [_feed(*pair, plan, began + plan.phase(index)) for index, pair in pairs]
            try:
                await asyncio.gather(*feeds)
            finally:
                self._ended = self._clock()
            return LoadResult(plan, self._ended - began, self._streams)

    def so_far(self) -> LoadResult | None:
        """What has been measured until now; None before the first frame was due."""
        elapsed = self.elapsed
        if elapsed is None:
            return None
        return LoadResult(self.plan, elapsed, self._streams, interrupted=True)

    def counts(self) -> str:
        """The masks and losses so far in a few words; quick, since streams are being measured."""
        masks = sum(stream.ledger.masks for stream in self._streams)
        dropped = sum(stream.ledger.dropped.total() for stream in self._streams)
        failed = sum(bool(stream.error) for stream in self._streams)
        note = f", {failed} streams failed" if failed else ""
        return f"{masks} masks, {dropped} dropped{note}"


async def run_load(plan: Plan) -> LoadResult:
    """Carry out a plan from its beginning to its end. Raises a ClientError."""
    return await Load(plan).run()


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


async def _feed(stream: Stream, result: StreamResult, plan: Plan, start: float) -> None:
    """One stream from its first frame to its last answer."""
    try:
        async for mask in stream.segment(camera(plan, start)):
            result.times.add(mask)
    except ClientError as error:
        result.error = str(error)


async def camera(plan: Plan, start: float, clock: Clock = time.monotonic) -> AsyncIterator[Frame]:
    """Frames when they are due. Like a camera it waits for nobody: what is asked for late is the
    frame of that time, and those before it are gone."""
    index, count = 0, plan.planned // plan.streams
    while index < count:
        await asyncio.sleep(max(0.0, start + index / plan.rate - clock()))
        yield Frame(plan.pictures[index % len(plan.pictures)], index / plan.rate)
        index = max(index + 1, int((clock() - start) * plan.rate))
