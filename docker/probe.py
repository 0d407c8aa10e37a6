"""``python docker/probe.py URL``: check that a server that has just started works.

Waits until it is ready, streams a few frames, uploads a short video, downloads all results and
checks them. Exits with 0, or with 1 and what is wrong.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.error import URLError
from urllib.request import urlopen

import av
import numpy as np

from clients.python.client import connect
from clients.python.pattern import moving_pattern, pattern_pictures
from clients.python.video import Video
from clients.python.videos import Videos

HEIGHT, WIDTH, FRAMES, RATE = 240, 320, 6, 10
ARTEFACTS = {"masks.mkv", "masks.zip", "overlay.mp4", "summary.json"}
READY_SECONDS = 120.0
POLL_SECONDS = 0.2


class Broken(Exception):
    """The server does not work as it should."""


def main(url: str) -> int:
    began = time.monotonic()
    try:
        wait_until_ready(url)
        report(began, "ready")
        report(began, asyncio.run(stream_frames(url)))
        with TemporaryDirectory() as folder:
            report(began, asyncio.run(upload_video(url, Path(folder))))
        report(began, count_frames(url))
    except Broken as broken:
        print(f"probe: {broken}", file=sys.stderr)
        return 1
    return 0


def wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            urlopen(f"{url}/health/ready", timeout=5).close()
        except URLError as error:
            check(time.monotonic() < deadline, f"not ready within {READY_SECONDS:.0f} s: {error}")
            time.sleep(POLL_SECONDS)
        else:
            return


async def stream_frames(url: str) -> str:
    """Check that every frame is answered by a mask of its size, and that the memory fills."""
    filled = []
    async with connect(url, policy="every") as stream:
        classes = len(stream.ready.model["classes"])
        async for mask in stream.segment(pattern_pictures(HEIGHT, WIDTH, FRAMES)):
            assert mask.labels is not None
            check(mask.labels.shape == (HEIGHT, WIDTH), "a mask's shape")
            check(int(mask.labels.max()) < classes, "a label that is not a class")
            filled.append(mask.header.memory.filled)
    horizon = stream.ready.model["memory_horizon"]
    check(filled == [min(index, horizon) for index in range(FRAMES)], f"memory filled {filled}")
    return f"{FRAMES} frames over the socket, each answered, memory filled {filled}"


async def upload_video(url: str, folder: Path) -> str:
    """Check that every artefact exists and is as long as the video."""
    clip = folder / "clip.mp4"
    write_clip(clip)
    async with Videos(url) as videos:
        video = await ended(videos, await videos.upload(clip))
        check(video.state == "succeeded", f"the video {video.state}: {video.error}")
        check(set(video.artefacts) >= ARTEFACTS, f"artefacts {sorted(video.artefacts)}")
        for name in sorted(ARTEFACTS):
            await videos.download(video.artefacts[name], folder / name)
    for name in ("masks.mkv", "overlay.mp4"):
        check(length(folder / name) == FRAMES, f"{name} has not {FRAMES} frames")
    summary = json.loads((folder / "summary.json").read_text())
    check(isinstance(summary, dict) and bool(summary), "an empty summary")
    return f"a video of {FRAMES} frames uploaded, {', '.join(sorted(ARTEFACTS))} downloaded"


async def ended(videos: Videos, video: Video) -> Video:
    """Return the video once it is finished."""
    while not video.ended:
        await asyncio.sleep(POLL_SECONDS)
        video = await videos.status(video.id)
    return video


def write_clip(path: Path, frames: int = FRAMES) -> None:
    with av.open(path, "w") as container:
        track = container.add_stream("libx264", rate=Fraction(RATE))
        track.width, track.height, track.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(frames):
            picture = np.ascontiguousarray(moving_pattern(HEIGHT, WIDTH, index))
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(track.encode())


def length(path: Path) -> int:
    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0))


def count_frames(url: str) -> str:
    """Check that the metrics count these frames."""
    with urlopen(f"{url}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    wanted = 'mastream_frames_total{cause="",result="segmented"} '
    counted = [float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted)]
    check(counted == [2.0 * FRAMES], f"metrics count {counted} frames")
    return f"metrics count {2 * FRAMES} frames"


def report(began: float, what: str) -> None:
    print(f"probe: {what} ({time.monotonic() - began:.1f} s)", flush=True)


def check(truth: bool, what: str) -> None:
    if not truth:
        raise Broken(what)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
