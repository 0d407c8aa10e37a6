"""The cost of decoding a camera in a sandbox, compared in one run with decoding it in the process
itself.

    python -m benchmarks.sandbox_cameras [--seconds 20] [--rounds 3] [--size 640x360] [--rate 25]

One real camera (GStreamer's RTSP server) is read by way of the relay, alternately with and without
the sandbox. ``age`` is the time from when the camera painted a picture, by the clock in the
picture, until the reader has the Frame. CPU is the time of this process and of the decoder's, in ms
per frame. It excludes the start, which is shown separately, in CPU seconds up to the first frame.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from statistics import median
from typing import Any

import numpy as np
from tabulate import tabulate

from benchmarks import cameras
from server.dialling.dial import Guard
from server.frame import Frame
from server.security.addresses import address_rules
from server.sources.decoding import Reading, read_frames
from server.sources.probing import MAX_PIXELS
from server.sources.sandbox.decoder import Sandbox, sandboxed_frames

HEIGHT, WIDTH = 352, 480

Read = Callable[[Reading], Generator[Frame, None, None]]
WAYS: dict[str, Read] = {
    "plain": read_frames,
    "sandboxed": lambda reading: sandboxed_frames(Sandbox(), reading),
}


@dataclass(slots=True)
class Cost:
    """The cost of one way of reading so far: the ages of pictures in ms, CPU in ms per frame, and
    the CPU seconds of its starts."""

    ages: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    start: list[float] = field(default_factory=list)

    def row(self, name: str) -> dict[str, Any]:
        ages = {f"age p{part}": float(np.percentile(self.ages, part)) for part in (50, 99)}
        return {"": name, **ages, "CPU": median(self.cpu), "start": median(self.start)}


def measure(url: str, frames: int, rounds: int) -> dict[str, Cost]:
    """Read ``frames`` frames each way, alternately; return the cost of each."""
    reading = Reading(
        location=url,
        height=HEIGHT,
        width=WIDTH,
        keep_original=True,
        start=None,
        max_pixels=MAX_PIXELS,
        timeout=10.0,
        threads=1,
        guard=Guard(address_rules(None, (), is_local=True)),
    )
    found = {name: Cost() for name in WAYS}
    for _ in range(rounds):
        for name, read in WAYS.items():
            cost = found[name]
            before = _spent()
            with closing(read(reading)) as few:
                next(few)
            started = _spent()
            with closing(read(reading)) as many:
                cost.ages += _ages(islice(many, frames))
            cost.start.append(started - before)
            cost.cpu.append((_spent() - started - cost.start[-1]) * 1000 / (frames - 1))
    return found


def _ages(frames: Iterable[Frame]) -> list[float]:
    """Return the ages of pictures in ms, except the first ones, which may be old."""
    ages = []
    for frame in frames:
        now = time.time()
        taken = cameras.read_clock(frame.pixels) if frame.seq % 5 == 0 and frame.seq > 25 else None
        if taken is not None:
            ages.append((now - taken.wall) * 1000)
    return ages


def _spent() -> float:
    """Return the CPU seconds of this process and of its children that have ended."""
    used = [getrusage(who) for who in (RUSAGE_SELF, RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    parser = ArgumentParser("python -m benchmarks.sandbox_cameras")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", default="640x360", metavar="WxH")
    parser.add_argument("--rate", type=int, default=25)
    given: Any = parser.parse_args()
    if why := cameras.why_none():
        parser.exit(1, f"no camera: {why}\n")
    width, height = map(int, given.size.split("x"))
    # The camera's own process is a child that has not ended, so its CPU is not counted.
    with cameras.cameras_at_work(1, fps=given.rate, width=width, height=height) as (url,):
        found = measure(url, int(given.seconds * given.rate), given.rounds)
    rows = [cost.row(name) for name, cost in found.items()]
    print(tabulate(rows, headers="keys", floatfmt=".2f"))


if __name__ == "__main__":
    main()
