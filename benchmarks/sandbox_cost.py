"""What it costs to decode a video in a sandbox: seconds divided by those without, in one run.

    python -m benchmarks.sandbox_cost [--frames 300] [--rounds 5] [VIDEO ...]

Both run in turns. A process is started for each lane of a video; its start is shown by itself.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tabulate import tabulate

from benchmarks.clips import write_clip
from server.frame import Frame
from server.sources.decoding import Reading, read_frames
from server.sources.probing import MAX_PIXELS
from server.sources.sandbox import Sandbox, sandboxed_frames

SIZES = ((640, 360), (1920, 1080))


def measure(video: Path, rounds: int, keep_original: bool) -> dict[str, float]:
    """Return the medians: seconds of ``plain`` decoding, of the ``start`` until the first frame of
    a sandbox, and the ``ratio`` of a sandbox's frames/s after its start to plain ones."""
    reading = Reading(
        location=video.resolve(),
        height=352,
        width=480,
        keep_original=keep_original,
        start=None,
        max_pixels=MAX_PIXELS,
        timeout=None,
        threads=1,
    )
    plain, start, ratio = [], [], []
    for _ in range(rounds):
        first, rest = _timed(lambda: read_frames(reading))
        theirs, after = _timed(lambda: sandboxed_frames(Sandbox(), reading))
        plain.append(first + rest)
        start.append(theirs - first)
        ratio.append(after / rest)
    return {"plain": median(plain), "start": median(start), "ratio": median(ratio)}


def _timed(frames: Callable[[], Iterator[Frame]]) -> tuple[float, float]:
    """Return the seconds until the first frame, and from there to the last."""
    began = time.perf_counter()
    came = frames()
    next(came)
    first = time.perf_counter()
    for _ in came:
        pass
    return first - began, time.perf_counter() - first


def main() -> None:
    parser = ArgumentParser(prog="benchmarks.sandbox_cost", description=__doc__)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("videos", nargs="*", type=Path)
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        made = [
            write_clip(Path(folder) / f"{size[1]}p.mp4", given.frames, 25, size) for size in SIZES
        ]
        rows = [
            {"video": video.name, "overlay": kept, **measure(video, given.rounds, kept)}
            for video in given.videos or made
            for kept in (False, True)
        ]
    print(tabulate(rows, headers="keys", floatfmt=".2f"))


if __name__ == "__main__":
    main()
