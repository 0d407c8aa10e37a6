"""Fair shares at twice the capacity, and how much a greedy client takes from others, in one run.

    python -m benchmarks.fairness [--seconds 10] [--attacks large small every form part refused]

The fake engine makes one step of one frame every 50 ms: 20 frames/s. Goals: at twice that, every
stream's masks are within 10 % of the mean, the p99 latency is within twice that at capacity, and
every frame sent is answered by a mask or a drop; a client whose 12 sockets send pictures, or whose
20 connections send uploads, as fast as they are read (``benchmarks.greedy`` and ``.uploader``)
takes nothing from another client, which sends less than its share. The latter's p99 is compared
with its p99 next to a client that also keeps the engine busy, but with small pictures, none of
which is dropped before a step: apart from the wait for a step, any difference is caused by the
greedy client. No limit is set. Clients are distinguished by their addresses, 127.0.0.1 and
127.0.0.2; the modest client has priority over all other processes if the system allows it, so that
the server's time is measured and not that client's.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import time
from argparse import ArgumentParser
from asyncio.subprocess import PIPE
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import numpy as np
from tabulate import tabulate
from websockets.asyncio.client import ClientConnection, connect

import protocol
from benchmarks.greedy import jpeg
from benchmarks.servers import mastream_server

STEP_MS = 50.0
CAPACITY = 1000 / STEP_MS
STREAMS = 8
MODEST_SHARE = 0.4
BUSY_STREAMS = 12
MODEST, BUSY = "127.0.0.1", "127.0.0.3"

ATTACKS = {
    "large": ("greedy", "--side", "1600"),
    "small": ("greedy", "--side", "64"),
    "every": ("greedy", "--side", "1600", "--policy", "every"),
    "form": ("uploader", "--how", "form"),
    "part": ("uploader", "--how", "part"),
    "refused": ("uploader", "--how", "refused"),
}
"""The greedy clients: a module of ``benchmarks`` each, and its flags."""


@dataclass(slots=True)
class Tally:
    """The messages that one stream sent and received; ``latencies`` are in seconds."""

    sent: int = 0
    masks: int = 0
    dropped: int = 0
    latencies: list[float] = field(default_factory=list)


def measure(seconds: float = 10.0, attacks: Sequence[str] = tuple(ATTACKS)) -> dict[str, float]:
    """Return the ratios described above."""
    settings = {"engine__fake_step_ms": str(STEP_MS), "log_level": "warning"}
    small = {"engine__fake_height": "48", "engine__fake_width": "64"}
    flags = ("--engine", "fake", "--max-batch", "1")
    with mastream_server(*flags, **settings, **small) as url, _priority():
        return asyncio.run(_measure(url, seconds, attacks))


async def _measure(url: str, seconds: float, attacks: Sequence[str]) -> dict[str, float]:
    picture = jpeg(64, 48)
    part = CAPACITY / STREAMS
    at = await _streams(url, STREAMS, part, seconds, picture)
    twice = await _streams(url, STREAMS, 2 * part, seconds, picture)
    rate = MODEST_SHARE * CAPACITY / 2
    alone = await _streams(url, 2, rate, seconds, picture)
    masks = [one.masks for one in twice]
    mean = sum(masks) / len(masks)
    busy = asyncio.create_task(
        _streams(url, BUSY_STREAMS, 2 * CAPACITY / BUSY_STREAMS, seconds, picture, BUSY)
    )
    beside = await _streams(url, 2, rate, seconds, picture)
    await busy
    found = {
        "least": min(masks) / mean,
        "most": max(masks) / mean,
        "p99": _p99(twice) / _p99(at),
        "answered": _answered(twice),
        "alone_p99": _p99(alone),
        "busy_p99": _p99(beside),
    }
    for name in attacks:
        beset = await _beset(url, ATTACKS[name], rate, seconds, picture)
        found[name] = sum(one.masks for one in beset) / sum(one.masks for one in alone)
        found[f"{name}_p99"] = _p99(beset)
    return found


async def _beset(
    url: str, attack: Sequence[str], rate: float, seconds: float, picture: bytes
) -> list[Tally]:
    """Run the modest client's streams while a greedy client keeps the server busy."""
    module, *flags = attack
    greed = await asyncio.create_subprocess_exec(
        sys.executable, "-m", f"benchmarks.{module}", url, *flags, stdout=PIPE
    )
    try:
        assert greed.stdout
        await greed.stdout.readline()
        return await _streams(url, 2, rate, seconds, picture)
    finally:
        greed.kill()
        await greed.communicate()


@contextmanager
def _priority() -> Iterator[None]:
    """Give this process, but not its children, priority over all others, if that is allowed."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setscheduler(0, *before)


async def _streams(
    url: str, count: int, rate: float, seconds: float, picture: bytes, address: str = MODEST
) -> list[Tally]:
    """Run streams of one client at the same time; their phases are random, as cameras' are."""
    phases = random.Random(count).choices([step / 100 for step in range(100)], k=count)
    streams = (_stream(url, rate, seconds, picture, address, phase) for phase in phases)
    return list(await asyncio.gather(*streams))


async def _stream(
    url: str, rate: float, seconds: float, picture: bytes, address: str, phase: float
) -> Tally:
    tally, times = Tally(), dict[int, float]()
    async with connect(f"{url}/v1/stream", local_addr=(address, 0), max_size=None) as socket:
        await socket.send(json.dumps({"type": "open", "output": "rle", "size": "model"}))
        await socket.recv()
        reading = asyncio.create_task(_read(socket, tally, times))
        began = time.monotonic() + phase / rate
        while (due := began + tally.sent / rate) < began + seconds:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            times[tally.sent] = time.monotonic()
            await socket.send(protocol.pack(protocol.FrameHeader(seq=tally.sent), picture))
            tally.sent += 1
        await socket.send(json.dumps({"type": "end"}))
        await reading
    return tally


async def _read(socket: ClientConnection, tally: Tally, times: dict[int, float]) -> None:
    """Count answers until the server closes."""
    async for message in socket:
        if isinstance(message, bytes):
            header, _ = protocol.unpack_mask(message, len(message))
            tally.masks += 1
            tally.latencies.append(time.monotonic() - times[header.seq])
        elif (answer := json.loads(message))["type"] == "dropped":
            tally.dropped += len(answer["seqs"])


def _p99(tallies: Sequence[Tally]) -> float:
    return float(np.percentile([one for tally in tallies for one in tally.latencies], 99))


def _answered(tallies: Sequence[Tally]) -> float:
    return sum(one.masks + one.dropped for one in tallies) / sum(one.sent for one in tallies)


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.fairness", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--attacks", nargs="*", choices=ATTACKS, default=list(ATTACKS))
    flags = parser.parse_args()
    found = measure(flags.seconds, flags.attacks)
    rows = [
        ("masks of the least served stream / mean, at twice the capacity", "least", ">= 0.90"),
        ("masks of the most served stream / mean", "most", "<= 1.10"),
        ("p99 at twice the capacity / p99 at capacity", "p99", "<= 2"),
        ("frames answered / frames sent", "answered", "1"),
        ("a modest client's p99 alone (s)", "alone_p99", ""),
        ("its p99 next to a client with small pictures (s)", "busy_p99", ""),
    ]
    for name in flags.attacks:
        words = f"its masks next to a greedy client ({' '.join(ATTACKS[name])}) / alone"
        rows += [(words, name, ">= 0.95"), ("its p99 (s)", f"{name}_p99", "")]
    print(tabulate([(words, f"{found[name]:.3f}", goal) for words, name, goal in rows]))


if __name__ == "__main__":
    main()
