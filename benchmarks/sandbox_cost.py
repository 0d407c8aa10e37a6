"""The cost of reading and decoding a video in a sandbox, compared with the same without it, in one
run.

    python -m benchmarks.sandbox_cost [--frames 300] [--rounds 5] [VIDEO ...]

Both run alternately. Decoding is measured in CPU seconds; one process is started per lane of a
video, and its start is shown separately. Checking an upload and finding its cuts are done by
processes in both cases, and measured in elapsed seconds.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage
from statistics import median
from tempfile import TemporaryDirectory

from tabulate import tabulate

from benchmarks.clips import write_clip
from server.frame import Frame
from server.sources.decoding import Reading, read_frames
from server.sources.probing import MAX_PIXELS, VideoLimits
from server.sources.sandbox.decoder import Sandbox, sandboxed_frames
from server.sources.sandbox.probe_process import Prober

SIZES = ((640, 360), (1920, 1080))


def measure(video: Path, rounds: int, keep_original: bool) -> dict[str, float]:
    """Return the medians of CPU seconds: ``plain`` decoding, the ``start`` of a sandbox up to its
    first frame, and the ``ratio`` of a sandbox without its start to plain decoding."""
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
        plain.append(_spent(read_frames(reading)))
        start.append(_spent(islice(sandboxed_frames(Sandbox(), reading), 1)))
        ratio.append((_spent(sandboxed_frames(Sandbox(), reading)) - start[-1]) / plain[-1])
    return {"plain": median(plain), "start": median(start), "ratio": median(ratio)}


def survey(video: Path, rounds: int) -> dict[str, float]:
    """Return the medians of the seconds in which a video is checked and its cuts are found,
    ``plain`` and ``sandboxed``, after the forking process has started."""
    seconds: dict[str, list[float]] = {"plain": [], "sandboxed": []}
    probers = {name: Prober(2**30, None, sandboxed=name == "sandboxed") for name in seconds}
    for _ in range(1 + rounds):
        for name, prober in probers.items():
            began = time.perf_counter()
            info = prober(video, VideoLimits())
            prober.cuts(video, info.rate, MAX_PIXELS)
            seconds[name].append(time.perf_counter() - began)
    for prober in probers.values():
        prober.close()
    return {name: median(found[1:]) for name, found in seconds.items()}


def _spent(frames: Iterable[Frame]) -> float:
    """Return the CPU seconds of this process and of its children while the frames are read."""
    began = _cpu_seconds()
    for _ in frames:
        pass
    del frames  # which ends the child, whose seconds count from then on
    return _cpu_seconds() - began


def _cpu_seconds() -> float:
    used = [getrusage(whose) for whose in (RUSAGE_SELF, RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


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
        surveys = [
            {"video": video.name, **survey(video.resolve(), 4 * given.rounds)}
            for video in given.videos or made
        ]
    print(tabulate(rows, headers="keys", floatfmt=".2f"))
    print(tabulate(surveys, headers="keys", floatfmt=".4f"))


if __name__ == "__main__":
    main()
