"""Segments one video in this process, without a socket: ``mastream segment VIDEO -o DIR``."""

from __future__ import annotations

import asyncio
import logging
import stat
import sys
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from server.commands.stopping import stoppable, undisturbed
from server.engines import make_engine
from server.engines.tensor_rt import this_machine
from server.errors import Fault, MastreamError, NotFound
from server.frame import Losses, VideoInfo
from server.plans.trial import plan_maker
from server.plans.wanted import find_plan, make_request, why_not
from server.settings import EngineSettings, Settings
from server.sinks.coding import check_encodable
from server.sinks.recorder import chosen_artefacts
from server.sinks.style import DEFAULT, Style
from server.sources import open_hardware, open_sandbox
from server.sources.probing import VideoLimits
from server.sources.sandbox.probe_process import Prober
from server.videos.segmenting import segment_video
from server.workers.worker import Worker

log = logging.getLogger(__name__)

LINE_SECONDS = 5.0
STOP_SECONDS = 2.0
"""How long an interruption waits for an engine that is being loaded or in a step."""

OnProgress = Callable[[int, int | None], None]
"""Called with the number of frames done and, if it is known, their total."""


def segment(
    video: Path,
    out: Path,
    settings: Settings,
    artefacts: Collection[str] = chosen_artefacts(None),
    style: Style = DEFAULT,
) -> int:
    """Segment a video into the folder ``out``, report progress and return the exit code.

    0: the artefacts are in ``out`` and replace older ones. 1: it failed, with one sentence on
    stderr. 130, 143 or 129: SIGINT, SIGTERM or SIGHUP stopped it. Unless the code is 0, ``out`` is
    unchanged.
    """
    began = time.monotonic()
    with stoppable() as stop:
        try:
            with _folder(out, artefacts) as folder, _shown(Console(stderr=True)) as on_progress:
                work = _segment(video, folder, settings, artefacts, style, on_progress)
                frames, losses = asyncio.run(work)
        except MastreamError as error:
            print(f"mastream: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("mastream: Interrupted; nothing was kept.", file=sys.stderr)
            return stop.exit_code
    seconds = time.monotonic() - began
    if losses:
        print(
            f"mastream: The video is damaged: {losses.undecodable} packets are unreadable, "
            f"{losses.damaged} pictures are damaged and {losses.missing} are missing.",
            file=sys.stderr,
        )
    print(f"{frames} frames in {seconds:.1f} s ({frames / seconds:.1f} frames/s) -> {out}")
    return 0


async def _segment(
    video: Path,
    folder: Path,
    settings: Settings,
    artefacts: Collection[str],
    style: Style,
    on_progress: OnProgress,
) -> tuple[int, Losses]:
    """Segment the video; return the number of frames and the losses in decoding."""
    sandbox = await asyncio.to_thread(open_sandbox, settings.decode)
    limit = settings.videos.probe_bytes
    with closing(Prober(limit, seconds=None, sandboxed=sandbox is not None)) as prober:
        info = await asyncio.to_thread(_probe, prober, video, settings)
        await asyncio.to_thread(check_encodable, info, artefacts)
        hardware = None if sandbox else await asyncio.to_thread(open_hardware, settings.decode)
        lost: list[Losses] = []
        async with _worker(settings.engine) as worker:
            frames = await segment_video(
                worker,
                video,
                folder,
                info,
                artefacts,
                style=style,
                max_pixels=settings.videos.max_pixels,
                hardware=hardware,
                sandbox=sandbox,
                prober=prober,
                on_progress=lambda done: on_progress(done, info.frames),
                on_losses=lost.append,
                lanes=settings.videos.lanes or 1,
                piece_frames=settings.videos.piece_frames,
            )
    return frames, lost[0]


@asynccontextmanager
async def _worker(settings: EngineSettings) -> AsyncIterator[Worker]:
    """Yield a running worker with the best engine available."""
    worker = Worker(partial(make_engine, settings))
    try:
        await worker.start()
        await _use_cached_plan(worker, settings)
        yield worker
    finally:
        await worker.stop(STOP_SECONDS)


async def _use_cached_plan(worker: Worker, settings: EngineSettings) -> None:
    """Switch to a cached TensorRT plan, if there is one; for one video none is built.

    This is done before the first frame, so that all masks come from the same engine.
    """
    (built,) = worker.engines
    if why_not(settings, [built]):
        return
    request = make_request(settings, built)
    try:
        here = await asyncio.to_thread(this_machine, request.device)
        if plan := await asyncio.to_thread(find_plan, request, here):
            await worker.replace_engine(plan_maker(make_engine, settings, plan, built))
    except Exception as error:  # TensorRT's own too: the engine already loaded can do the work
        log.warning("no TensorRT plan is used: %s", error)


def _probe(probe: Prober, video: Path, settings: Settings) -> VideoInfo:
    _check_video(video)
    limits = VideoLimits(
        max_bytes=sys.maxsize,
        max_seconds=sys.maxsize,
        max_frames=sys.maxsize,
        max_pixels=settings.videos.max_pixels,
    )
    return probe(video, limits)


def _check_video(video: Path) -> None:
    try:
        regular = stat.S_ISREG(video.stat().st_mode)
    except FileNotFoundError:
        raise NotFound(f"There is no file {video}.") from None
    except OSError as error:
        raise NotFound(f"{video} cannot be read: {error.strerror}.") from error
    if not regular:
        raise NotFound(f"{video} is not a file; give a video file.")


@contextmanager
def _folder(out: Path, artefacts: Collection[str]) -> Iterator[Path]:
    """Yield a temporary folder in ``out``; if the block succeeds, move its files to ``out``.

    The temporary folder is removed in any case, and after an error the folders created for it,
    too. Signals interrupt neither the move nor the removal. Raises Fault if nothing can be written.
    """
    made: list[Path] = []
    try:
        made += [parent for parent in (out, *out.parents) if not parent.exists()]
        with _scratch(out) as folder:
            _check_places(out, artefacts)
            yield folder
            with undisturbed():
                for file in list(folder.iterdir()):
                    file.replace(out / file.name)
    except BaseException as error:
        for parent in made:
            with suppress(OSError):
                parent.rmdir()
        if isinstance(error, OSError):
            raise Fault(f"Nothing can be written to {out}: {error.strerror}.") from error
        raise


@contextmanager
def _scratch(out: Path) -> Iterator[Path]:
    out.mkdir(parents=True, exist_ok=True)
    scratch = TemporaryDirectory(dir=out, prefix=".segmenting-")
    try:
        yield Path(scratch.name)
    finally:
        with undisturbed():
            scratch.cleanup()


def _check_places(out: Path, artefacts: Collection[str]) -> None:
    """Raise Fault if an artefact's name is taken by a folder; call it before any work is done."""
    for name in artefacts:
        if (out / name).is_dir():
            raise Fault(f"{out / name} is a folder; remove it or choose another folder with -o.")


@contextmanager
def _shown(console: Console) -> Iterator[OnProgress]:
    """Show progress on stderr: a bar on a terminal, otherwise a line every few seconds."""
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
    """Prints the progress, at most once per LINE_SECONDS."""

    def __init__(self) -> None:
        self._next = time.monotonic() + LINE_SECONDS

    def __call__(self, done: int, total: int | None) -> None:
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_SECONDS
            print(f"{done} of {total or '?'} frames", file=sys.stderr, flush=True)
