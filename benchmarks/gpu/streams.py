"""How many live streams one GPU can serve: each sends 30 pictures per second, and 99 % of these
must be segmented within one frame interval."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np
import torch

from benchmarks.gpu.feeds import Feed
from benchmarks.gpu.network import Network
from benchmarks.gpu.timing import percentiles

RATE = 30.0
LIMIT_MS = 33.0
COUNTS = (1, 4, 8, 12, 16, 18, 20, 22, 24, 28, 32, 40, 48, 64)
HOPELESS_SECONDS = 0.5
"""Latency at which a number of streams is given up."""


@dataclass(frozen=True)
class Load:
    """The latencies of ``streams`` streams, in milliseconds from a picture's arrival to its mask on
    the host."""

    streams: int
    p50: float
    p99: float
    mean_batch: float

    @property
    def holds(self) -> bool:
        return self.p99 < LIMIT_MS


def climb(
    network: Network, feed: Feed, seconds: float, rate: float = RATE, counts: Sequence[int] = COUNTS
) -> Iterator[Load]:
    """Yield the load of each number of streams, up to and including the first that is too many."""
    for streams in counts:
        if streams > network.spare:
            return
        load = serve(network, feed, streams, seconds, rate)
        yield load
        if not load.holds:
            return


def serve(network: Network, feed: Feed, streams: int, seconds: float, rate: float = RATE) -> Load:
    """Serve ``streams`` streams in real time, at random phases; every picture is segmented.

    A step takes the oldest picture of each waiting stream, at most the largest batch.
    """
    due = _arrivals(streams, rate)
    began = time.perf_counter()
    late, batches = list[float](), list[int]()
    while (now := time.perf_counter() - began) < seconds:
        ready = _take(due, now, network.batches[-1], rate)
        if not ready:
            time.sleep(max(0.0, min(due[0][0] - now, 0.001)))
            continue
        _step(network, feed, [slot for _, slot in ready])
        done = time.perf_counter() - began
        late += [done - came + feed.lead for came, _ in ready]
        batches.append(len(ready))
        if late[-1] > HOPELESS_SECONDS:
            break
    p50, p99 = percentiles(late)
    return Load(streams, p50, p99, float(np.mean(batches)))


def _arrivals(streams: int, rate: float) -> list[tuple[float, int]]:
    """Return a heap of (arrival time of the next picture, stream)."""
    phases = np.random.default_rng(streams).uniform(0, 1 / rate, streams)
    heap: list[tuple[float, int]] = []
    for slot, phase in enumerate(phases):
        heappush(heap, (float(phase), slot))
    return heap


def _take(
    due: list[tuple[float, int]], now: float, most: int, rate: float
) -> list[tuple[float, int]]:
    """Take the pictures that have arrived, oldest first, at most one per stream."""
    ready = list[tuple[float, int]]()
    while due and due[0][0] <= now and len(ready) < most:
        ready.append(heappop(due))
    for came, slot in ready:
        heappush(due, (came + 1 / rate, slot))
    return ready


def _step(network: Network, feed: Feed, slots: list[int]) -> None:
    """Step these slots, filled up with the spare slot to a prepared batch size; return when their
    masks are on the host."""
    batch = next(size for size in network.batches if size >= len(slots))
    chosen = torch.tensor(slots + [network.spare] * (batch - len(slots)))
    feed.fill(len(slots))
    network.index[:batch].copy_(chosen)
    network.step(batch)
    network.masks[: len(slots)].cpu()
