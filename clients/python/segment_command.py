"""``mastream segment``: segment a whole video, here by the server's command or on a server."""

from __future__ import annotations

import asyncio
import os
import sys
from argparse import Namespace
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from clients.python.errors import ClientError
from clients.python.outputs import results_folder
from clients.python.parted import TAKE_BACK_SECONDS
from clients.python.upload_file import size_of
from clients.python.video import Video
from clients.python.videos import Videos


def run(args: Namespace, rest: list[str]) -> int:
    """Segment ``args.video`` into ``args.out`` and return the exit code.

    ``rest`` are the options for a model that runs here.
    """
    if not args.url:
        _here(args, rest)
    size = size_of(args.video)
    with results_folder(args.out) as folder:
        done = asyncio.run(_there(args, size, folder))
    print(f"{done.done} frames -> {args.out}: {', '.join(done.artefacts)}")
    return 0


def _here(args: Namespace, rest: list[str]) -> NoReturn:
    """Replace this process with ``python -m server segment``, so that it gets the signals."""
    command = ["-m", "server", "segment", plain(args.video), "-o", plain(args.out), *rest]
    os.execv(sys.executable, [sys.executable, *command])


def plain(path: Path) -> str:
    """Return the path as an argument that is not taken for an option if it begins with a dash."""
    return f"./{path}" if str(path).startswith("-") else str(path)


async def _there(args: Namespace, size: int, folder: Path) -> Video:
    """Upload the video, follow it and download the results. If interrupted, cancel the video."""
    with _progress() as progress:
        async with Videos(args.url) as videos:
            bar = progress.add_task("uploading", total=size, note="")
            uploaded = await videos.upload(
                args.video,
                artefacts=_names(args.artefacts),
                classes=_names(args.classes),
                opacity=args.opacity,
                callback_url=args.callback_url,
                on_bytes=partial(progress.advance, bar),
            )
            try:
                done = await videos.finished(uploaded, _follower(progress))
            except (asyncio.CancelledError, KeyboardInterrupt):
                with suppress(ClientError, TimeoutError):
                    async with asyncio.timeout(TAKE_BACK_SECONDS):
                        await videos.remove(uploaded.id)
                raise
            await _download(videos, done, folder, progress)
            if args.remove:
                await videos.remove(done.id)
    return done


def _names(given: str | None) -> list[str]:
    return given.split(",") if given else []


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
    """Return progress bars, which are shown only if standard error is a terminal."""
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
