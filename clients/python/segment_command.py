"""``mastream segment``: a whole video, here in a process of its own or on a server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from argparse import Namespace
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from clients.python.videos import Video, Videos

INTERRUPTED = 130


def run(args: Namespace, rest: list[str]) -> int:
    """Segment ``args.video`` into ``args.out``; returns the exit code."""
    if not args.url:
        return _here(args, rest)
    size = args.video.stat().st_size
    args.out.mkdir(parents=True, exist_ok=True)
    asyncio.run(_there(args.url, args.video, size, args.out, args.remove))
    return 0


def _here(args: Namespace, rest: list[str]) -> int:
    command = [sys.executable, "-m", "server", "segment", str(args.video), "-o", str(args.out)]
    with subprocess.Popen([*command, *rest]) as server:
        try:
            code = server.wait()
        except KeyboardInterrupt:  # it has been interrupted too, and is tidying up
            server.wait()
            return INTERRUPTED
    return code if code >= 0 else 128 - code


async def _there(url: str, video: Path, size: int, out: Path, remove: bool) -> None:
    """Upload, follow, download. A video that is not followed to its end is cancelled."""
    with _progress() as progress:
        async with Videos(url) as videos:
            bar = progress.add_task("uploading", total=size, note="")
            uploaded = await videos.upload(video, on_bytes=partial(progress.advance, bar))
            try:
                done = await videos.finished(uploaded, _follower(progress))
            except (asyncio.CancelledError, KeyboardInterrupt):
                await asyncio.shield(videos.remove(uploaded.id))
                raise
            await _download(videos, done, out, progress)
            if remove:
                await videos.remove(done.id)
    print(f"{done.done} frames -> {out}: {', '.join(done.artefacts)}")


def _follower(progress: Progress) -> Callable[[Video], None]:
    bar = progress.add_task("segmenting", total=None, note="")

    def show(video: Video) -> None:
        note = f"{video.fps:.1f} frames/s" if video.fps else video.state
        progress.update(bar, completed=video.done, total=video.total, note=note)

    return show


async def _download(videos: Videos, video: Video, out: Path, progress: Progress) -> None:
    for name, link in video.artefacts.items():
        bar: TaskID = progress.add_task(name, total=None, note="")
        await videos.download(link, out / Path(name).name, partial(progress.advance, bar))
        progress.update(bar, total=progress.tasks[bar].completed)


def _progress() -> Progress:
    """Bars on a terminal; nothing where standard error is none."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description:>12}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
        disable=not console.is_terminal,
    )
