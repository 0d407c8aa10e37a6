"""One uploaded video while it is segmented: from its stored pieces, or a plan, to its results."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from server.database.pieces import PieceRow, PieceState
from server.database.video_record import VideoRecord
from server.errors import DiskFull
from server.frame import Losses
from server.settings import VideoSettings
from server.sources.cuts import Cuts, Uncut
from server.sources.hardware import Hardware
from server.sources.probe_process import Prober
from server.sources.sandbox import Sandbox
from server.threads import ThreadRunner
from server.videos.disk_space import DiskSpace
from server.videos.durable_ledger import DurableLedger, finished_piece
from server.videos.files import VideoFiles
from server.videos.joining import join_pieces
from server.videos.lane import REACHED
from server.videos.ledger import newest_attempt
from server.videos.pieces import Piece, fits, in_one_piece
from server.videos.reader import CutsDiffer, Space, Work
from server.videos.segmenting import all_losses, cuts_of_video, planned, segment_pieces
from server.workers.serving import Serving

if TYPE_CHECKING:
    from server.telemetry.tracing import Tracing

FORMAT = 1
"""Raised whenever parts of pieces change, so that those of an older version are not continued."""


@dataclass(frozen=True, slots=True)
class Services:
    """What all jobs share."""

    worker: Serving
    files: VideoFiles
    disk: ThreadRunner
    space: DiskSpace
    settings: VideoSettings
    hardware: Hardware | None
    clock: Callable[[], float]
    tracing: Tracing | None = None
    sandbox: Sandbox | None = None
    prober: Prober | None = None


@dataclass(slots=True)
class Counts:
    """The frames of each piece recorded so far, and once they are known the video's losses."""

    frames: dict[int, int] = field(default_factory=dict)
    losses: Losses | None = None

    @property
    def total(self) -> int:
        return sum(self.frames.values())


class VideoJob:
    """Segments one video; a job for the same record continues it after an interruption.

    ``lanes`` returns how many pieces are segmented at the same time; ``changed`` is called on the
    event loop after each recorded frame. Mutable state: the counts.
    """

    def __init__(
        self,
        services: Services,
        record: VideoRecord,
        lanes: Callable[[], Awaitable[int]],
        changed: Callable[[], None],
    ) -> None:
        self.counts = Counts({-1: record.frames_done})
        self._services = services
        self._record = record
        self._lanes = lanes
        self._changed = changed
        self._space = _Announced(services.space, changed)
        self._began = services.clock()
        self._folder = services.files.pieces(record.id)
        self._ledger = DurableLedger(
            services.files.piece_rows,
            services.disk,
            record.id,
            services.files.owner,
            self._folder,
            lambda: record.spent + services.clock() - self._began,
        )

    async def run(self) -> None:
        """Segment what is left and join it. Raises as :func:`segment_pieces`."""
        work, rows = await self._resumed() or await self._fresh()
        await self._remove_stale(rows)
        self.counts.frames = {row.number: row.frames for row in rows if row.frames is not None}
        self._changed()
        try:
            await self._segment(work)
        except CutsDiffer:
            await self._ledger.plan(in_one_piece(Uncut.DAMAGED), self._signature())
            self.counts.frames.clear()
            await self._segment(work)
        await self._join(work)

    async def _resumed(self) -> tuple[Work, list[PieceRow]] | None:
        """Return the stored pieces if they still fit the video, the model and the settings."""
        if self._record.planned_for != self._signature():
            return None
        rows = await self._ledger.rows()
        pieces = [Piece(row.number, row.first, row.last) for row in rows]
        cuts = await self._cuts() if len(rows) > 1 else Cuts(0)
        return (self._work(cuts), rows) if rows and fits(pieces, cuts) else None

    async def _fresh(self) -> tuple[Work, list[PieceRow]]:
        work = self._work(await self._cuts())
        length = self._services.settings.piece_frames
        found = await asyncio.to_thread(planned, work, length)
        await self._ledger.plan(found, self._signature())
        return work, await self._ledger.rows()

    async def _cuts(self) -> Cuts:
        upload = self._services.files.upload(self._record.id)
        limit = self._services.settings.max_pixels
        prober, info = self._services.prober, self._record.info
        return await asyncio.to_thread(cuts_of_video, prober, upload, info, limit)

    async def _remove_stale(self, rows: list[PieceRow]) -> None:
        """Remove the files of attempts that were interrupted; note where those by a death were."""
        for row in rows:
            if row.state is not PieceState.DONE and row.deaths:
                attempt = newest_attempt(self._folder, row.number)
                await self._ledger.died(row.number, _frames_in(attempt))
        kept = {finished_piece(row).folder for row in rows if row.state is PieceState.DONE}
        for folder in self._folder.glob("*"):
            if folder.name not in kept:
                await self._services.disk(partial(shutil.rmtree, folder, ignore_errors=True))

    async def _segment(self, work: Work) -> None:
        lanes = await self._lanes() if len(await self._ledger.rows()) > 1 else 1
        await segment_pieces(work, self._ledger, lanes, self._on_frames)

    async def _join(self, work: Work) -> None:
        """Make the results; on a full disk, wait for space and try again."""
        finished = await self._ledger.finished()
        self.counts.losses = all_losses(finished)
        results = self._services.files.results(self._record.id)
        while True:
            try:
                return await join_pieces(work, finished, results)
            except DiskFull:
                await asyncio.to_thread(shutil.rmtree, results, ignore_errors=True)
            await self._space.wait_for_space()

    def _work(self, cuts: Cuts) -> Work:
        services, record = self._services, self._record
        return Work(
            services.worker,
            services.files.upload(record.id),
            self._folder,
            record.info,
            record.artefacts,
            cuts,
            services.settings.max_pixels,
            services.hardware,
            self._space,
            record.style,
            on_losses=self._on_losses,
            sandbox=services.sandbox,
            prober=services.prober,
        )

    def _signature(self) -> str:
        """Return what has to be equal for pieces of an earlier run to be continued."""
        spec = self._services.worker.spec
        model = (spec.name, spec.fingerprint, spec.height, spec.width, spec.memory_horizon)
        made = [FORMAT, model, self._services.settings.piece_frames]
        return hashlib.sha256(json.dumps(made).encode()).hexdigest()

    def _on_losses(self, losses: Losses) -> None:
        self.counts.losses = losses

    def _on_frames(self, number: int, frames: int) -> None:
        self.counts.frames[number] = frames
        self._changed()


class _Announced(Space):
    """Waits for the disk's free space, and lets those who watch the video know."""

    def __init__(self, space: DiskSpace, changed: Callable[[], None]) -> None:
        self._space = space
        self._changed = changed

    async def wait_for_room(self) -> None:
        if self._space.paused:
            self._changed()
            await self._space.wait_for_room()
            self._changed()

    async def wait_for_space(self) -> None:
        self._space.full()
        await self.wait_for_room()


def _frames_in(attempt: Path) -> int:
    """Return how many frames an attempt that was interrupted has recorded."""
    try:
        return int((attempt / REACHED).read_text())
    except (OSError, ValueError):
        return 0
