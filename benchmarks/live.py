"""The cost of pulled streams, with real cameras (GStreamer's RTSP server) and the fake engine.

    python -m benchmarks.live [--cameras 8] [--rate 25] [--size 640x360] [--seconds 30]
        [--viewers 1 10 100]

``added`` is the time from the arrival of a frame's packet to its mask in a viewer's outbox, less
decoding and the step. Goal: p99 of at most 5 ms. ``glass`` is the time from when the camera painted
the picture, by the clock in it, to the same moment. Then one camera is watched by more and more
viewers whose sockets send nothing. Goal: 100 viewers need at most 1.5 times the CPU of 10, per
frame.

The service runs in this process; the cameras run in another on the same machine, where they share
one encoder.
"""

from __future__ import annotations

import asyncio
import os
import time
from argparse import ArgumentParser
from array import array
from collections import Counter
from collections.abc import AsyncIterator, MutableSequence, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tabulate import tabulate

from benchmarks import cameras
from benchmarks.fake_viewers import CountingPool, watched
from benchmarks.soak.watch import Sample, look, slope
from benchmarks.thread_cpu import spent_by_thread, table
from server import heap
from server.app import create_app
from server.engines.fake import FakeEngine
from server.frame import Mask
from server.settings import Settings
from server.streams.definition import StreamDefinition
from server.streams.pulled import PulledStream
from server.web.live.service import LiveService

GOAL_MS = 5.0
GOAL_VIEWERS = 1.5
WARM_UP_SECONDS = 5.0

CLOCK_EVERY = 10
"""The clock is read in one of this many pictures, because reading takes as long as the server's own
work."""


@dataclass(slots=True)
class Pulled:
    """The results of a run with several cameras. Mutable state: the samples so far, all in ms."""

    added: MutableSequence[float] = field(default_factory=lambda: array("d"))
    glass: MutableSequence[float] = field(default_factory=lambda: array("d"))
    drops: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    masks: int = 0
    memory: list[Sample] = field(default_factory=list)
    cpu: str = ""

    def take(self, mask: Mask, lag: float) -> None:
        """Add a mask that has just been delivered; its camera waited ``lag`` seconds before it sent
        the picture."""
        now, wall = time.monotonic(), time.time()
        spent = mask.times.decode + mask.times.step
        self.added.append((now - mask.frame.arrived) * 1000 - spent)
        if len(self.added) % CLOCK_EVERY:
            return
        taken = cameras.read_clock(mask.frame.pixels)
        if taken is not None:
            self.glass.append((wall - taken.wall - lag) * 1000)

    def percentile(self, name: str, percent: float) -> float:
        return float(np.percentile(getattr(self, name), percent))


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one stream with this many viewers: CPU in ms per frame, steps and encodes per
    frame."""

    viewers: int
    cpu: float
    steps: float
    encodes: float


def measure(
    number: int = 8, rate: int = 25, size: tuple[int, int] = (640, 360), seconds: float = 30.0
) -> Pulled:
    """Pull this many cameras for this many seconds."""
    with cameras.cameras_at_work(number, fps=rate, width=size[0], height=size[1]) as urls:
        lags = [cameras.lag(one, number, rate) for one in range(number)]
        return asyncio.run(_pull(urls, lags, seconds))


def viewers_cost(
    numbers: Sequence[int] = (1, 10, 100),
    rate: int = 25,
    size: tuple[int, int] = (640, 360),
    seconds: float = 8.0,
) -> list[Cost]:
    """Watch one camera with each number of viewers in turn, for this many seconds each."""
    with cameras.cameras_at_work(1, fps=rate, width=size[0], height=size[1]) as urls:
        return asyncio.run(_watch_by(urls[0], numbers, seconds))


async def _pull(urls: Sequence[str], lags: Sequence[float], seconds: float) -> Pulled:
    async with _live() as live:
        streams = [
            await live.streams.add(StreamDefinition(f"cam{number}", url))
            for number, url in enumerate(urls)
        ]
        await asyncio.gather(*(stream.viewers.next_after(None) for stream in streams))
        await asyncio.sleep(WARM_UP_SECONDS)
        return await _sample(streams, lags, seconds)


async def _sample(streams: Sequence[PulledStream], lags: Sequence[float], seconds: float) -> Pulled:
    found, before = Pulled(), [stream.status for stream in streams]
    tasks = [asyncio.create_task(_view(stream)) for stream in streams]
    for stream, lag in zip(streams, lags, strict=True):
        _collect(stream, lag, found)
    began, spent = time.monotonic(), spent_by_thread()
    while (now := time.monotonic() - began) < seconds:
        found.memory.append(look(os.getpid(), now))
        await asyncio.sleep(1.0)
    after = spent_by_thread()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for stream, then in zip(streams, before, strict=True):
        status = stream.status
        found.frames += status.frames - then.frames
        found.masks += status.masks - then.masks
        found.drops.update(Counter(status.drops) - Counter(then.drops))
    found.cpu = table(spent, after, found.frames)
    return found


def _collect(stream: PulledStream, lag: float, found: Pulled) -> None:
    """Add every mask at the moment when it is in the viewers' outboxes."""
    put = stream.viewers.mask

    def put_and_add(mask: Mask) -> None:
        put(mask)
        found.take(mask, lag)

    stream.viewers.mask = put_and_add  # type: ignore[method-assign]


async def _view(stream: PulledStream) -> None:
    outbox = stream.viewers.join()
    while (item := await outbox.take()) is not None:
        outbox.sent(item)


async def _watch_by(url: str, numbers: Sequence[int], seconds: float) -> list[Cost]:
    async with _live() as live:
        live.pool = CountingPool(live.pool)
        stream = await live.streams.add(StreamDefinition("cam", url))
        await stream.viewers.next_after(None)
        return [await _cost(live, stream, live.pool, number, seconds) for number in numbers]


async def _cost(
    live: LiveService, stream: PulledStream, pool: CountingPool, number: int, seconds: float
) -> Cost:
    async with watched(live, stream, number):
        await asyncio.sleep(WARM_UP_SECONDS)
        frames, masks, runs = stream.status.frames, stream.status.masks, pool.runs
        spent = time.process_time()
        await asyncio.sleep(seconds)
        spent = time.process_time() - spent
        passed = stream.status.frames - frames
        steps, encodes = stream.status.masks - masks, pool.runs - runs
    return Cost(number, spent * 1000 / passed, steps / passed, encodes / passed)


@asynccontextmanager
async def _live() -> AsyncIterator[LiveService]:
    with TemporaryDirectory() as folder:
        service = create_app(Settings(folder=Path(folder)), FakeEngine).state.service
        service.begin()
        await service.loaded()
        try:
            yield service.live
        finally:
            await service.end()


def report(found: Pulled) -> str:
    """Return the results of a run as a table, with the drops."""
    rows = [
        (name, *(found.percentile(name, percent) for percent in (50, 95, 99)))
        for name in ("added", "glass")
    ]
    drops = ", ".join(f"{count} {cause}" for cause, count in found.drops.items()) or "none"
    grown = f"{slope(found.memory):+.2f} MiB per minute, at the end {found.memory[-1].rss:.0f} MiB"
    return "\n".join(
        (
            tabulate(rows, ("ms", "p50", "p95", "p99"), tablefmt="plain", floatfmt=".2f"),
            f"goal: added p99 of at most {GOAL_MS:g} ms",
            f"{found.frames} frames, {found.masks} masks; drops: {drops}",
            f"RSS: {grown}",
            found.cpu,
        )
    )


def viewers_report(costs: Sequence[Cost]) -> str:
    """Return the cost of each number of viewers as a table."""
    rows = [(one.viewers, one.cpu, one.steps, one.encodes) for one in costs]
    heads = ("viewers", "CPU ms/frame", "steps/frame", "encodes/frame")
    return tabulate(rows, heads, tablefmt="plain", floatfmt=("", ".2f", ".2f", ".2f"))


def rows() -> list[tuple[str, str, str]]:
    """Return the lines of ``make bench``: what, measured, goal."""
    added, watched_by = "added to a pulled stream, p99, 8 cameras", "CPU of 100 viewers over 10"
    if why := cameras.why_none():
        return [(added, f"no camera: {why}", ""), (watched_by, f"no camera: {why}", "")]
    p99 = measure(seconds=15.0).percentile("added", 99)
    cost = ratio(viewers_cost((10, 100)))
    return [
        (added, f"{p99:.1f} ms", f"{GOAL_MS:g} ms"),
        (watched_by, f"{cost:.2f}", f"at most {GOAL_VIEWERS:g}"),
    ]


def ratio(costs: Sequence[Cost]) -> float:
    """Return the CPU for the last number of viewers divided by that for the previous number."""
    return costs[-1].cpu / costs[-2].cpu


def main() -> None:
    parser = ArgumentParser("python -m benchmarks.live")
    parser.add_argument("--cameras", type=int, default=8)
    parser.add_argument("--rate", type=int, default=25)
    parser.add_argument("--size", type=_size, default=(640, 360), metavar="WxH")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--viewers", type=int, nargs="*", default=[1, 10, 100])
    given: Any = parser.parse_args()
    heap.share_arenas()
    print(report(measure(given.cameras, given.rate, given.size, given.seconds)))
    if len(given.viewers) > 1:
        costs = viewers_cost(given.viewers, given.rate, given.size)
        print(viewers_report(costs))
        print(f"ratio {ratio(costs):.2f}, goal: at most {GOAL_VIEWERS:g}")


def _size(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return width, height


if __name__ == "__main__":
    main()
