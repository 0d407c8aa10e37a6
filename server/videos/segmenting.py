"""Segmenting one video from its file to its artefacts, for uploads and the command line."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from server.errors import BadVideo, NoCapacity
from server.frame import Losses, VideoInfo
from server.sinks.style import DEFAULT, Style
from server.sources.cuts import Cuts, KeyFrame, Uncut, can_seek, read_cuts
from server.sources.hardware import Hardware
from server.sources.sandbox.decoder import Sandbox
from server.sources.sandbox.probe_process import Prober
from server.videos.joining import join_pieces
from server.videos.lane import Lane, OnFrames
from server.videos.ledger import Finished, Ledger, MemoryLedger
from server.videos.pieces import Plan, in_one_piece, plan, stretch_of
from server.videos.reader import CutsDiffer, OnLosses, Work
from server.videos.recording import OnProgress
from server.workers.serving import Serving

PIECE_FRAMES = 250
"""Default minimum frames of a piece."""

_log = logging.getLogger(__name__)


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
    sandbox: Sandbox | None = None,
    prober: Prober | None = None,
    on_progress: OnProgress = lambda _: None,
    on_losses: OnLosses = lambda _: None,
    window: int = 4,
    lanes: int = 1,
    piece_frames: int = PIECE_FRAMES,
) -> int:
    """Segment every frame of a video and write its artefacts into ``folder``, which is created.

    Return the number of frames, which is the number of masks. At most ``window`` frames of each of
    the ``lanes`` are between decoder and recorder, so memory does not grow with the video. A
    ``sandbox`` decodes it, or ``hardware`` decodes what it can; the latter's pictures are copied to
    the host only if an overlay or a poster is drawn. A ``prober`` searches it for key frames.

    Raises BadRequest if ``style`` names a class that the model does not have, BadVideo or
    SourceFault if decoding fails or most of the video is lost, Fault if a frame got no mask,
    NoCapacity if the worker accepts no session, and DiskFull if the disk is full. On an error or
    when cancelled, no artefact is left.
    """
    style = style.of(worker.spec.classes)
    pieces = folder / "pieces"
    cuts = await asyncio.to_thread(cuts_of_video, prober, video, info, max_pixels)
    work = Work(
        worker,
        video,
        pieces,
        info,
        tuple(artefacts),
        cuts,
        max_pixels,
        hardware,
        style=style,
        window=window,
        on_losses=on_losses,
        sandbox=sandbox,
        prober=prober,
    )
    try:
        found = await asyncio.to_thread(planned, work, piece_frames)
        finished = await _segmented(work, found, lanes, on_progress)
        on_losses(all_losses(finished))
        await join_pieces(work, finished, folder)
        return sum(piece.frames for piece in finished)
    finally:
        await asyncio.to_thread(shutil.rmtree, pieces, ignore_errors=True)


def planned(work: Work, piece_frames: int) -> Plan:
    """Return the pieces of a video; read its file at their beginnings."""
    horizon = work.worker.spec.memory_horizon
    found = plan(work.cuts, horizon, piece_frames)
    begins = [stretch_of(piece, work.cuts, horizon) for piece in found.pieces]
    keys = [stretch.key for stretch in begins if stretch is not None]
    if keys and not _can_seek(work, keys):
        return in_one_piece(Uncut.NOT_SEEKABLE)
    return found


def cuts_of_video(prober: Prober | None, video: Path, info: VideoInfo, max_pixels: int) -> Cuts:
    """Return where a video can be cut; nowhere if the search exceeds the prober's limits, which
    also depends on the machine's load."""
    if prober is None:
        return read_cuts(video, info.rate, max_pixels)
    try:
        return prober.cuts(video, info.rate, max_pixels)
    except BadVideo as error:
        _log.warning("a video is segmented in one piece: %s", error)
        return Cuts(0, reason=Uncut.DAMAGED)


async def segment_pieces(
    work: Work,
    ledger: Ledger,
    lanes: int,
    on_frames: OnFrames,
) -> None:
    """Segment pieces of a video in ``lanes`` lanes until none is free: then all are done, or other
    servers have them.

    Raises as :meth:`Lane.run`, but NoCapacity only if there was no session for any lane.
    """
    while await ledger.any_free():
        await _run([Lane(work, ledger, on_frames) for _ in range(lanes)])


def all_losses(finished: Sequence[Finished]) -> Losses:
    """Return the losses of all pieces together."""
    return Losses(
        sum(piece.losses.undecodable for piece in finished),
        sum(piece.losses.damaged for piece in finished),
        sum(piece.losses.missing for piece in finished),
    )


def _can_seek(work: Work, keys: Sequence[KeyFrame]) -> bool:
    if work.prober is None:
        return can_seek(work.video, keys, work.max_pixels)
    try:
        return work.prober.can_seek(work.video, keys, work.max_pixels)
    except BadVideo:
        return False


async def _segmented(
    work: Work, found: Plan, lanes: int, on_progress: OnProgress
) -> list[Finished]:
    counts: dict[int, int] = {}

    def on_frames(number: int, frames: int) -> None:
        counts[number] = frames
        if frames:
            on_progress(sum(counts.values()))

    ledger = MemoryLedger(found)
    try:
        await segment_pieces(work, ledger, lanes, on_frames)
    except CutsDiffer:
        counts.clear()
        ledger = MemoryLedger(in_one_piece(Uncut.DAMAGED))
        await segment_pieces(work, ledger, 1, on_frames)
    return await ledger.finished()


async def _run(lanes: Sequence[Lane]) -> None:
    """Run lanes until all have ended; the first error ends them, except that a single lane may lack
    a session."""
    tasks = [asyncio.create_task(lane.run()) for lane in lanes]
    try:
        await _until_error(tasks)
    finally:
        await _end(tasks)
    error = _failure(tasks)
    tasks.clear()
    try:
        if error is not None:
            raise error
    finally:
        del error  # it refers to this frame, which must not refer to it


def _failure(tasks: Sequence[asyncio.Task[None]]) -> BaseException | None:
    """Return the first error of tasks that have ended; NoCapacity only if no task succeeded."""
    errors = [None if task.cancelled() else task.exception() for task in tasks]
    fatal = [error for error in errors if error and not isinstance(error, NoCapacity)]
    return next(iter(fatal), errors[0] if all(errors) else None)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def _until_error(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait until all tasks have ended, or one with an error other than NoCapacity."""
    running = set(tasks)
    while running:
        ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            error = task.exception()
            if error is not None and not isinstance(error, NoCapacity):
                return
