"""One video segmented in this process, without a socket: ``mastream segment VIDEO -o DIR``."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from server.engines import make_engine
from server.engines.tensor_rt import this_machine
from server.errors import Fault, MastreamError, NotFound
from server.frame import VideoInfo
from server.plan_wish import find_plan, make_wish, why_not
from server.settings import EngineSettings, Settings
from server.sinks.coding import check_encodable
from server.sinks.recorder import ARTEFACTS
from server.sources import open_hardware
from server.sources.probe_process import Prober
from server.sources.probing import VideoLimits
from server.trial import plan_maker
from server.video import segment_video
from server.worker import Worker

log = logging.getLogger(__name__)

INTERRUPTED = 130
LINE_SECONDS = 5.0

Tell = Callable[[int, int | None], None]
"""Takes the frames done and, where it is known, their total."""


def segment(
    video: Path, out: Path, settings: Settings, artefacts: Collection[str] = ARTEFACTS
) -> int:
    """Segment a video into the folder ``out`` and tell how it goes; returns the exit code.

    0 with the artefacts in ``out``, in place of older ones; 1 after one sentence on stderr; 130
    when interrupted. Unless it is 0, ``out`` is as it was.
    """
    began = time.monotonic()
    try:
        with _folder(out) as folder, _shown(Console(stderr=True)) as tell:
            frames = asyncio.run(_segment(video, folder, settings, artefacts, tell))
    except MastreamError as error:
        print(f"mastream: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("mastream: interrupted, nothing was kept", file=sys.stderr)
        return INTERRUPTED
    seconds = time.monotonic() - began
    print(f"{frames} frames in {seconds:.1f} s ({frames / seconds:.1f} frames/s) -> {out}")
    return 0


async def _segment(
    video: Path, folder: Path, settings: Settings, artefacts: Collection[str], tell: Tell
) -> int:
    info = await asyncio.to_thread(_probe, video, settings)
    await asyncio.to_thread(check_encodable, info, artefacts)
    worker = Worker(partial(make_engine, settings.engine))
    await worker.start()
    try:
        await _take_kept_plan(worker, settings.engine)
        return await segment_video(
            worker,
            video,
            folder,
            info,
            artefacts,
            max_pixels=settings.videos.max_pixels,
            hardware=await asyncio.to_thread(open_hardware, settings.decode),
            tell=lambda done: tell(done, info.frames),
        )
    finally:
        await worker.stop()


async def _take_kept_plan(worker: Worker, settings: EngineSettings) -> None:
    """Go over to a TensorRT plan that a service has left here, before the first frame: the masks
    do not depend on when. For one video none is built."""
    (built,) = worker.engines
    if why_not(settings, [built]):
        return
    wish = make_wish(settings, built)
    try:
        here = await asyncio.to_thread(this_machine, wish.device)
        if plan := await asyncio.to_thread(find_plan, wish, here):
            await worker.replace_engine(plan_maker(make_engine, settings, plan, built))
    except Exception as error:  # TensorRT's own too: the engine that is there does it
        log.warning("no TensorRT plan is taken: %s", error)


def _probe(video: Path, settings: Settings) -> VideoInfo:
    if not video.is_file():
        raise NotFound(f"There is no file {video}.")
    limits = VideoLimits(
        max_bytes=sys.maxsize,
        max_seconds=sys.maxsize,
        max_frames=sys.maxsize,
        max_pixels=settings.videos.max_pixels,
    )
    with closing(Prober(settings.videos.probe_bytes, seconds=None)) as probe:
        return probe(video, limits)


@contextmanager
def _folder(out: Path) -> Iterator[Path]:
    """A folder to write in; what is in it moves to ``out`` where the block ends well."""
    made = [parent for parent in (out, *out.parents) if not parent.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out, prefix=".segmenting-") as folder:
            yield Path(folder)
            for file in list(Path(folder).iterdir()):
                file.replace(out / file.name)
    except BaseException as error:
        for parent in made:
            with suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError):
            raise Fault(f"Nothing can be written to {out}: {error.strerror}.") from error
        raise


@contextmanager
def _shown(console: Console) -> Iterator[Tell]:
    """Progress on stderr: a bar on a terminal, else a line every few seconds."""
    if not console.is_terminal:
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fps]:.1f} frames/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("segmenting", total=None, fps=0.0)
        began = time.monotonic()
        yield lambda done, total: bar.update(
            task, completed=done, total=total, fps=done / (time.monotonic() - began)
        )


class _Lines:
    """Prints how far it is, at most once in LINE_SECONDS."""

    def __init__(self) -> None:
        self._next = time.monotonic() + LINE_SECONDS

    def __call__(self, done: int, total: int | None) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_SECONDS
            print(f"{done} of {total or '?'} frames", file=sys.stderr, flush=True)
