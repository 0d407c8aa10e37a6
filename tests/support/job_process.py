"""Segment one video: ``python job_process.py FOLDER URL CLIP FAULTS STEPS``.

The first start queues the video; later ones continue it. Each change prints the number of frames
done; at the end the state is printed. With FAULTS "yes", engines die and the disk is full now and
then. A moment after so many STEPS of the engine the process kills itself; 0: it does not.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from own_rows import OwnRows

from server.database.video_record import VideoRecord
from server.engines.fake import FakeEngine, fake_spec
from server.errors import EngineDead
from server.frame import Pixels
from server.settings import VideoSettings
from server.sinks.encoding import OverlayVideo
from server.sinks.recorder import ARTEFACTS
from server.videos import disk_space, durable_ledger, jobs, lane
from server.videos.jobs import Jobs
from server.videos.progress import Video
from server.workers.worker import Worker

GROUP = PIECE_FRAMES = 10


def write_clip(path: Path, frames: int) -> Path:
    """Write a video with a key frame every GROUP frames, each picture another."""
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
    """Return what the engine does before each step."""
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
    async with queue.arrivals.place() as (video, path):
        shutil.copy(clip, path)
        record = VideoRecord(
            video, clip.name, "fake", 1, await queue.arrivals.probe(path), tuple(ARTEFACTS), "f"
        )
        await queue.arrivals.add(record)
    return video


async def followed(queue: Jobs, video: str) -> Video:
    """Print each change; return the video when it has ended, however often the database fails."""
    async for now in queue.watch(video, None):
        print(now.progress.frames_done, flush=True)
    return now


async def main(folder: Path, url: str, clip: Path, faulty: bool, steps: int) -> None:
    if faulty:
        be_faulty()
    on_step = disturbed(faulty, steps)
    worker = Worker(lambda: FakeEngine(fake_spec(48, 64), on_step=on_step), backoff=0.001)
    await worker.start()
    settings = VideoSettings(
        min_free_bytes=0, pause_free_bytes=0, piece_frames=PIECE_FRAMES, lanes=3
    )
    rows = OwnRows(url)
    queue = Jobs(worker, rows, folder / "videos", settings)
    await queue.start()
    now = await followed(queue, await queued(queue, clip))
    print(now.record.state, now.record.problem, flush=True)
    await queue.stop()
    rows.close()
    await worker.stop()


if __name__ == "__main__":
    logging.disable()
    jobs.GATHER_SECONDS = 0.001
    disk_space.POLL_SECONDS = durable_ledger.RETRY_SECONDS = jobs.RETRY_SECONDS = 0.05
    durable_ledger.NEAR = 0  # pieces are hardly longer than the usual value
    lane.MAX_DEATHS = 1000  # among so many deaths, several in one place are chance
    target, address, video_file, faults, number = sys.argv[1:]
    asyncio.run(main(Path(target), address, Path(video_file), faults == "yes", int(number)))
