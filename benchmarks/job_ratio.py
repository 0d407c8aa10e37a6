"""Frames per second of one segmented video, divided by those of a bare ``session.run`` loop on the
same file, in one run: decoding, encoding and joining included. Goal: at least 0.95.

    python -m benchmarks.job_ratio [--model FILE] [--lanes 1 4] [--frames 60] [--rounds 3]

With n lanes the video has n pieces of ``frames`` frames, and the bare loop runs batches of n. Both
run alternately, so that a machine that slows down affects both.
"""

from __future__ import annotations

import asyncio
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from tabulate import tabulate

from benchmarks.clips import write_clip
from export.runners import Runner, blank
from models.spec import ModelSpec
from server.engines.onnx_graph import read_spec, shipped_model
from server.engines.onnx_rt import OnnxEngine
from server.sinks.recorder import chosen_artefacts
from server.sources.probing import VideoLimits, probe
from server.videos.segmenting import segment_video
from server.workers.worker import Worker

GOAL = 0.95


def measure(
    model: Path | None = None, lanes: int = 1, frames: int = 60, rounds: int = 3
) -> dict[str, float]:
    """Return {"bare": frames/s, "job": frames/s, "ratio": median of job/bare}."""
    file = model or shipped_model()
    cv2.setNumThreads(1)
    with TemporaryDirectory() as folder:
        clip = write_clip(Path(folder) / "clip.mp4", frames * lanes, frames)
        pairs = asyncio.run(_rounds(file, clip, lanes, frames, rounds))
    return {
        "bare": median(bare for bare, _ in pairs),
        "job": median(job for _, job in pairs),
        "ratio": median(job / bare for bare, job in pairs),
    }


async def _rounds(
    file: Path, clip: Path, lanes: int, frames: int, rounds: int
) -> list[tuple[float, float]]:
    spec = read_spec(file)
    runner = Runner(file, spec)
    worker = Worker(partial(OnnxEngine, file, max_batch=lanes))
    await worker.start()
    try:
        _bare(runner, spec, lanes, 2)
        return [
            (_bare(runner, spec, lanes, frames), await _job(worker, clip, lanes, frames))
            for _ in range(rounds)
        ]
    finally:
        await worker.stop()


def _bare(runner: Runner, spec: ModelSpec, streams: int, steps: int) -> float:
    """Return frames/s of steps of ``streams`` frames, whose memories are fed straight back."""
    shape = (streams, spec.height, spec.width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    memories = blank(spec, streams)
    began = time.perf_counter()
    for _ in range(steps):
        _, *memories = runner.step([pixels, *memories])
    return steps * streams / (time.perf_counter() - began)


async def _job(worker: Worker, clip: Path, lanes: int, frames: int) -> float:
    """Return frames/s of one video, from the file to its artefacts."""
    info = probe(clip, VideoLimits())
    with TemporaryDirectory() as folder:
        began = time.perf_counter()
        done = await segment_video(
            worker,
            clip,
            Path(folder),
            info,
            chosen_artefacts(None),
            max_pixels=2**24,
            lanes=lanes,
            piece_frames=frames,
        )
        seconds = time.perf_counter() - began
    assert done == frames * lanes, "every frame has a mask"
    return done / seconds


def table(found: Sequence[tuple[int, dict[str, float]]]) -> str:
    """Return one line for each number of lanes."""
    heads = ("lanes", "bare/s", "job/s", "ratio", "goal")
    rows = [(lanes, row["bare"], row["job"], row["ratio"], GOAL) for lanes, row in found]
    return tabulate(rows, heads, tablefmt="plain", floatfmt=("", ".2f", ".2f", ".3f", "g"))


def main() -> None:
    parser = ArgumentParser("python -m benchmarks.job_ratio")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--lanes", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--frames", type=int, default=60, help="of one piece")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    found = [(n, measure(given.model, n, given.frames, given.rounds)) for n in given.lanes]
    print(table(found))


if __name__ == "__main__":
    main()
