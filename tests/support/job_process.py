"""Segment one video in a process that may be killed.

Its imports take longer than the tests' work in it, so all such processes are forked from one that
has imported everything.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av
import numpy as np
from jobs_at_work import serving, upload

from server.errors import EngineDead
from server.frame import Pixels
from server.sinks.encoding import OverlayVideo
from server.videos import disk_space, durable_ledger, jobs, lane, runner
from server.videos.jobs import Jobs
from server.videos.progress import Video

GROUP = PIECE_FRAMES = 10

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])

Say = Callable[[str], None]


@contextmanager
def running(
    folder: Path, url: str, clip: Path, *, faulty: bool = False, steps: int = 0
) -> Iterator[Iterator[str]]:
    """Segment a video; yield the lines that the process prints, and kill it at the end of the
    block.

    The first start queues the video; later ones continue it. Each change prints the number of
    frames done; at the end the state is printed. If ``faulty``, engines die and the disk is full
    now and then. A moment after this many ``steps`` of the engine the process kills itself; 0: it
    does not.
    """
    ours, theirs = FORKS.Pipe(duplex=False)
    process = FORKS.Process(target=_run, args=(folder, url, clip, faulty, steps, theirs))
    process.start()
    theirs.close()
    try:
        yield _said(ours)
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


def _said(by: Connection) -> Iterator[str]:
    while True:
        try:
            yield by.recv()
        except EOFError:
            return


def write_clip(path: Path, frames: int) -> Path:
    """Write a video with a key frame every GROUP frames; all pictures differ."""
    options = {"g": str(GROUP), "keyint_min": str(GROUP), "sc_threshold": "0"}
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            picture = np.random.default_rng(number).integers(0, 256, (6, 8, 3), np.uint8)
            large = picture.repeat(8, axis=0).repeat(8, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(large, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def be_faulty() -> None:
    """Make one write in two hundred fail as on a full disk, for a moment."""
    add = OverlayVideo.add

    def fill(overlay: OverlayVideo, segmented: Any) -> None:
        if random.random() < 0.005:
            raise OSError(28, "No space left on device")
        add(overlay, segmented)

    OverlayVideo.add = fill  # type: ignore[method-assign]


def disturbed(faulty: bool, steps: int) -> Callable[[Sequence[Pixels]], None]:
    """Return a function for the engine to call before each step."""
    left = iter(range(steps - 1))

    def on_step(_: Sequence[Pixels]) -> None:
        if steps and next(left, None) is None:
            threading.Timer(random.uniform(0, 0.01), os.kill, (os.getpid(), signal.SIGKILL)).start()
        if faulty and random.random() < 0.01:
            raise EngineDead("The device is gone.")

    return on_step


async def queued(queue: Jobs, clip: Path) -> str:
    """Return the id of the only video, which is added by the first start."""
    if found := await queue.page(1, None):
        return found[0].record.id
    return await upload(queue, clip)


async def followed(queue: Jobs, video: str, say: Say) -> Video:
    """Print each change; return the video when it has ended, however often the database fails."""
    async for now in queue.watch(video, None):
        say(str(now.progress.frames_done))
    return now


async def segment(folder: Path, url: str, clip: Path, faulty: bool, steps: int, say: Say) -> None:
    if faulty:
        be_faulty()
    on_step = disturbed(faulty, steps)
    pieces = {"piece_frames": PIECE_FRAMES, "lanes": 3}
    async with serving(folder, url, on_step=on_step, **pieces) as queue:
        now = await followed(queue, await queued(queue, clip), say)
        say(f"{now.record.state} {now.record.problem}")


def _run(folder: Path, url: str, clip: Path, faulty: bool, steps: int, answers: Connection) -> None:
    logging.disable()
    jobs.GATHER_SECONDS = 0.001
    disk_space.POLL_SECONDS = 0.05
    durable_ledger.RETRY_SECONDS = jobs.RETRY_SECONDS = runner.RETRY_SECONDS = 0.05
    durable_ledger.NEAR = 0  # pieces are hardly longer than the usual value
    lane.MAX_DEATHS = 1000  # among so many deaths, several in one place are chance
    asyncio.run(segment(folder, url, clip, faulty, steps, answers.send))
