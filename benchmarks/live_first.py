"""How much a long job slows live streams, and how much they leave for it, in one run with the fake
engine.

    python -m benchmarks.live_first [--streams 4] [--rate 10] [--step-ms 20] [--seconds 8]

Live streams offer frames at a fixed rate; a job has frames ready at all times, as one lane. The
output is the p99 of the time from a frame's offer to its mask, without and with the job, and the
job's frames per second with the streams and after they have stopped.
"""

from __future__ import annotations

import asyncio
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from functools import partial
from statistics import quantiles

import numpy as np
from tabulate import tabulate

from protocol import DropPolicy
from server.engines.fake import FakeEngine, fake_spec
from server.frame import Dropped, Frame, Mask
from server.sinks.base import Sink
from server.workers.worker import Worker

SPEC = fake_spec(48, 64)
PIXELS = np.zeros((48, 64, 3), np.uint8)


class Latencies(Sink):
    """Collects the milliseconds from each frame's arrival to its mask."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def mask(self, mask: Mask) -> None:
        self.found.append(1000 * (time.monotonic() - mask.frame.arrived))

    def dropped(self, drops: Sequence[Dropped]) -> None:
        """Ignore frames that wait when the job is stopped; no others are dropped under
        ``every``."""

    def failed(self, seq: int, error: Exception) -> None:
        raise AssertionError(f"frame {seq} failed: {error}")


def measure(
    streams: int = 4, rate: float = 10.0, step_ms: float = 20.0, seconds: float = 8.0
) -> dict[str, float]:
    """Return "alone" and "with_job", p99 in ms, and their difference in "steps" of the engine;
    "job" and "job_alone", the frames/s of the job with the streams and without."""
    return asyncio.run(_measured(streams, rate, step_ms, seconds))


async def _measured(streams: int, rate: float, step_ms: float, seconds: float) -> dict[str, float]:
    make = partial(FakeEngine, SPEC, max_batch=streams, step_seconds=step_ms / 1000)
    worker = Worker(make)
    await worker.start()
    try:
        alone = await _live(worker, streams, rate, seconds)
        job = Latencies()
        running = asyncio.create_task(_job(worker, job))
        with_job = await _live(worker, streams, rate, seconds)
        during, before = len(job.found), time.monotonic()
        await asyncio.sleep(seconds / 2)
        after = (len(job.found) - during) / (time.monotonic() - before)
        running.cancel()
        return {
            "alone": _p99(alone),
            "with_job": _p99(with_job),
            "steps": (_p99(with_job) - _p99(alone)) / step_ms,
            "job": during / seconds,
            "job_alone": after,
        }
    finally:
        await worker.stop()


async def _live(worker: Worker, streams: int, rate: float, seconds: float) -> list[float]:
    """Return the latencies of all frames of live streams that begin one after the other."""
    sinks = [Latencies() for _ in range(streams)]
    began = time.monotonic()
    await asyncio.gather(*(
        _stream(worker, sink, began + number / rate / streams, rate, seconds)
        for number, sink in enumerate(sinks)
    ))  # fmt: skip
    return [found for sink in sinks for found in sink.found]


async def _stream(
    worker: Worker, sink: Latencies, began: float, rate: float, seconds: float
) -> None:
    session = worker.open(sink, policy=DropPolicy.EVERY, window=64)
    for seq in range(int(rate * seconds)):
        due = began + seq / rate
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        worker.offer(session, Frame(PIXELS, seq, arrived=time.monotonic()))
    await worker.settled(session)
    worker.close(session)


async def _job(worker: Worker, sink: Latencies) -> None:
    """Offer frames in the background as fast as they are accepted."""
    session = worker.open(sink, policy=DropPolicy.EVERY, window=4, background=True)
    seq = 0
    while True:
        await worker.wait_for_room(session)
        worker.offer(session, Frame(PIXELS, seq, arrived=time.monotonic()))
        seq += 1


def _p99(latencies: Sequence[float]) -> float:
    return quantiles(latencies, n=100)[98]


def main() -> None:
    parser = ArgumentParser("python -m benchmarks.live_first")
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--rate", type=float, default=10.0, help="frames/s of each stream")
    parser.add_argument("--step-ms", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=8.0)
    found = measure(**vars(parser.parse_args()))
    rows = [
        ("p99 of live streams alone", f"{found['alone']:.1f} ms"),
        ("p99 of live streams with a job", f"{found['with_job']:.1f} ms"),
        ("the difference, in steps", f"{found['steps']:.2f}"),
        ("job while they run", f"{found['job']:.1f} frames/s"),
        ("job after they have stopped", f"{found['job_alone']:.1f} frames/s"),
    ]
    print(tabulate(rows, tablefmt="plain", disable_numparse=True))


if __name__ == "__main__":
    main()
