"""The load generator: N streams at a given rate, and their results."""

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
    """How to load a server. ``pictures`` are sent in turn; ``rate`` is in frames per second and
    stream, for ``seconds``."""

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
        """The number of frames that all streams together should send."""
        return self.due(self.seconds)

    def phase(self, index: int) -> float:
        """Return the start of a stream in seconds after the first one: starts are spread evenly
        over one frame interval."""
        return index / (self.streams * self.rate)

    def due(self, elapsed: float) -> int:
        """Return how many frames they should have sent after ``elapsed`` seconds."""
        return self.streams * max(1, round(self.rate * min(elapsed, self.seconds)))


@dataclass(slots=True)
class StreamResult:
    """The result of one stream; ``error`` is why it ended early, "" if it did not."""

    ledger: Ledger
    times: Times = field(default_factory=Times)
    error: str = ""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The result of a plan, or the part measured until it was ``interrupted``. ``held`` is the
    number of frames that were due but never sent, because the window was full."""

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
        """Masks per second of each stream."""
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
    """A plan being carried out. Its state (the streams' results so far, when the first frame was
    due, when measuring ended) can be read at any time, so that measurements survive an
    interruption."""

    def __init__(self, plan: Plan, clock: Clock = time.monotonic) -> None:
        self.plan = plan
        self._clock = clock
        self._streams: list[StreamResult] = []
        self._began: float | None = None
        self._ended: float | None = None

    @property
    def elapsed(self) -> float | None:
        """Seconds measured so far; None before the first frame was due."""
        if self._began is None:
            return None
        return (self._clock() if self._ended is None else self._ended) - self._began

    async def run(self) -> LoadResult:
        """Open all streams, then feed them concurrently. Raises a ClientError if one cannot be
        opened."""
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
        """Return what has been measured so far; None before the first frame was due."""
        elapsed = self.elapsed
        if elapsed is None:
            return None
        return LoadResult(self.plan, elapsed, self._streams, interrupted=True)

    def counts(self) -> str:
        """Describe the masks and losses so far; cheap, since streams are being measured."""
        masks = sum(stream.ledger.masks for stream in self._streams)
        dropped = sum(stream.ledger.dropped.total() for stream in self._streams)
        failed = sum(bool(stream.error) for stream in self._streams)
        note = f", {failed} streams failed" if failed else ""
        return f"{masks} masks, {dropped} dropped{note}"


async def run_load(plan: Plan) -> LoadResult:
    """Carry out a whole plan and return its result. Raises a ClientError."""
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
        resume=False,
    )


async def _feed(stream: Stream, result: StreamResult, plan: Plan, start: float) -> None:
    """Feed one stream from its first frame to its last answer."""
    try:
        async for mask in stream.segment(camera(plan, start)):
            result.times.add(mask)
    except ClientError as error:
        result.error = str(error)


async def camera(plan: Plan, start: float, clock: Clock = time.monotonic) -> AsyncIterator[Frame]:
    """Yield frames when they are due. Like a camera it does not wait: if it is resumed late, it
    yields the current frame, and earlier frames are lost."""
    index, count = 0, plan.planned // plan.streams
    while index < count:
        await asyncio.sleep(max(0.0, start + index / plan.rate - clock()))
        yield Frame(plan.pictures[index % len(plan.pictures)], index / plan.rate)
        index = max(index + 1, int((clock() - start) * plan.rate))
