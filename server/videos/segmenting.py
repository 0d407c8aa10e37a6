"""Segmenting one video from its file to its artefacts, for uploads and the command line."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from models.spec import ModelSpec
from protocol import DropPolicy
from server.errors import BadVideo, Fault, MastreamError, detached, unwritable
from server.frame import Dropped, Losses, Mask, VideoInfo
from server.sinks.base import Sink
from server.sinks.recorder import Recorder, join_parts
from server.sinks.style import DEFAULT, Style
from server.sources.container import ContainerSource
from server.sources.hardware import Hardware
from server.workers.serving import Serving

OVERLAY = "overlay.mp4"
"""The artefact that is drawn on the pictures themselves."""

PART = "part"
"""The folder of the parts, in the folder of the artefacts."""

_log = logging.getLogger(__name__)

OnProgress = Callable[[int], None]
"""Called on the event loop with the number of frames recorded so far."""

OnLosses = Callable[[Losses], None]
"""Called on the event loop with what was lost in decoding, once the whole video is decoded."""


async def segment_video(
    worker: Serving,
    video: Path,
    folder: Path,
    info: VideoInfo,
    artefacts: Collection[str],
    *,
    style: Style = DEFAULT,
    max_pixels: int,
    hardware: Hardware | None = None,
    on_progress: OnProgress = lambda _: None,
    on_losses: OnLosses = lambda _: None,
    window: int = 4,
) -> int:
    """Segment every frame of a video and write its artefacts into ``folder``, which is created.

    Return the number of frames, which is the number of masks. At most ``window`` frames are
    between decoder and recorder, so memory does not grow with the video. ``hardware`` decodes what
    it can; pictures are then copied to the host only if an overlay or a poster is drawn.

    Raises BadRequest if ``style`` names a class that the model does not have, BadVideo or
    SourceFault if decoding fails or most of the video is lost, Fault if a frame got no mask,
    NoCapacity if the worker accepts no session, and DiskFull if the disk is full. On an error or
    when cancelled, no artefact is left.
    """
    spec = worker.spec
    style.shown(spec.classes)
    source = ContainerSource(
        video,
        spec.height,
        spec.width,
        keep_original=OVERLAY in artefacts,
        total=info.frames,
        max_pixels=max_pixels,
        hardware=hardware,
        rate=info.rate,
    )
    part = folder / PART
    make = partial(_recorder, part, spec, info, artefacts, style)
    try:
        async with Recording(make, window, on_progress) as sink:
            frames = await _feed(worker, source, sink, window)
            losses = source.losses()
            on_losses(losses)
            _check_losses(losses, frames)
            await sink.finish(frames, losses)
        await asyncio.to_thread(join_parts, [part], folder, spec, info, artefacts, style)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return frames


def _check_losses(losses: Losses, frames: int) -> None:
    """Raise BadVideo if most of a video is lost, of which ``frames`` pictures were decoded."""
    if losses.most_of(frames):
        lost = losses.undecodable + losses.missing
        raise BadVideo(
            f"Most of the video cannot be decoded: of {frames + lost} pictures {lost} are lost and "
            f"{losses.damaged} damaged; send an intact copy."
        )


async def _feed(worker: Serving, source: ContainerSource, sink: Recording, window: int) -> int:
    """Offer each frame as soon as there is room for it; return how many, once all are answered."""
    frames = 0
    session = worker.open(sink, policy=DropPolicy.EVERY, window=window)
    try:
        async with source:
            async for frame in source:
                await sink.wait_for_room()
                await worker.wait_for_room(session)
                worker.offer(session, frame)
                frames += 1
        await worker.settled(session)
    except BaseException:
        sink.give_up()
        raise
    finally:
        worker.close(session)
    return frames


class Recording(Sink):
    """Carries the masks of one video to a Recorder in a thread of its own.

    Mutable state: ``window`` credits, one held by each frame from :meth:`wait_for_room` until its
    mask is written; the first failure; the number of masks written. If the block ends with an
    error, the recorder is aborted. The recorder is made, used and closed by its thread alone.
    """

    def __init__(self, make: Callable[[], Recorder], window: int, on_progress: OnProgress) -> None:
        self._make = make
        self._on_progress = on_progress
        self._window = window
        self._credits = asyncio.Semaphore(window)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recorder")
        self._failure: MastreamError | None = None
        self._over = False
        self.written = 0

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._made = self._thread.submit(self._begin)
        return self

    async def wait_for_room(self) -> None:
        """Wait until one more frame may be in flight. Raises the first failure."""
        await self._credits.acquire()
        self._check()

    def mask(self, mask: Mask) -> None:
        if self._over:
            return
        writing = self._loop.run_in_executor(self._thread, self._write, mask)
        writing.add_done_callback(self._wrote)

    def dropped(self, drops: Sequence[Dropped]) -> None:
        for drop in drops:
            self._release(Fault(f"The server dropped frame {drop.seq}: {drop.cause}."))

    def failed(self, seq: int, error: Exception) -> None:
        self._release(Fault(f"Frame {seq} could not be segmented: {error}"))

    def give_up(self) -> None:
        """Ignore answers from now on: closing the session drops its frames, which is no failure."""
        self._over = True

    async def finish(self, frames: int, losses: Losses) -> None:
        """Wait until the last mask is written and close the files.

        Raises the first failure, or Fault unless exactly ``frames`` masks were recorded.
        """
        for _ in range(self._window):
            await self._credits.acquire()
        self._check()
        if self.written != frames:
            raise Fault(f"The server recorded {self.written} masks for {frames} frames.")
        await self._loop.run_in_executor(self._thread, self._close, losses)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over = True
        if error is not None:
            self._thread.submit(self._abort)
        await asyncio.shield(asyncio.to_thread(self._thread.shutdown))

    def _begin(self) -> Recorder | MastreamError:
        """Make the recorder; return an error instead of raising it, since the future is kept."""
        try:
            return self._make()
        except Exception as error:
            _log.error("a video's results cannot be written: %s", error, exc_info=error)
            return detached(error)

    def _recorder(self) -> Recorder:
        made = self._made.result()
        if isinstance(made, MastreamError):
            raise detached(made)
        return made

    def _write(self, mask: Mask) -> None:
        self._recorder().write(mask)

    def _close(self, losses: Losses) -> None:
        self._recorder().close(losses)

    def _abort(self) -> None:
        if isinstance(made := self._made.result(), Recorder):
            made.abort()

    def _wrote(self, writing: asyncio.Future[None]) -> None:
        failure = writing.exception()
        if failure is None:
            self.written += 1
            self._on_progress(self.written)
        self._release(failure)

    def _release(self, failure: BaseException | None) -> None:
        """Release a frame's credit, and keep the first failure."""
        if isinstance(failure, Exception) and self._failure is None and not self._over:
            _log.error("a video is given up: %s", failure, exc_info=failure)
            self._failure = detached(failure)
        self._credits.release()

    def _check(self) -> None:
        if self._failure is not None:
            raise detached(self._failure)


def _recorder(
    folder: Path, spec: ModelSpec, info: VideoInfo, artefacts: Collection[str], style: Style
) -> Recorder:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable("The results", error.errno, error.strerror) from error
    return Recorder(folder, spec, info, artefacts, style)
