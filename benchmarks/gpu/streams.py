"""How many live streams one GPU serves: pictures come at 30 a second from each, and 99 of 100 must
be segmented within one picture's time of when they came."""

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
"""Lateness after which a number of streams is given up."""


@dataclass(frozen=True)
class Load:
    """What ``streams`` streams saw, in milliseconds from a picture's coming to its mask on the
    host."""

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
    """Each number of streams in turn, until one does not hold; that one is the last."""
    for streams in counts:
        if streams > network.spare:
            return
        load = serve(network, feed, streams, seconds, rate)
        yield load
        if not load.holds:
            return


def serve(network: Network, feed: Feed, streams: int, seconds: float, rate: float = RATE) -> Load:
    """``streams`` streams in real time, at phases drawn by lot; every picture is segmented.

    A step takes the oldest picture of as many streams as wait, at most the largest batch.
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
    """A heap of (when its next picture comes, stream)."""
    phases = np.random.default_rng(streams).uniform(0, 1 / rate, streams)
    heap: list[tuple[float, int]] = []
    for slot, phase in enumerate(phases):
        heappush(heap, (float(phase), slot))
    return heap


def _take(
    due: list[tuple[float, int]], now: float, most: int, rate: float
) -> list[tuple[float, int]]:
    """The pictures that have come, oldest first, one of a stream."""
    ready = list[tuple[float, int]]()
    while due and due[0][0] <= now and len(ready) < most:
        ready.append(heappop(due))
    for came, slot in ready:
        heappush(due, (came + 1 / rate, slot))
    return ready


def _step(network: Network, feed: Feed, slots: list[int]) -> None:
    """One step of these slots, filled up with the spare one to a batch that is prepared; returns
    with their masks on the host."""
    batch = next(size for size in network.batches if size >= len(slots))
    chosen = torch.tensor(slots + [network.spare] * (batch - len(slots)))
    feed.fill(len(slots))
    network.index[:batch].copy_(chosen)
    network.step(batch)
    network.masks[: len(slots)].cpu()
