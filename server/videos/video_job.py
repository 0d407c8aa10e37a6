"""The work of this server on one uploaded video: planning, segmenting piece by piece, and
joining."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from server.database.piece_statements import Held, PieceState
from server.database.video_record import Standing, VideoRecord
from server.errors import DiskFull
from server.frame import Losses
from server.sources.cuts import Cuts, Uncut
from server.videos.disk_space import DiskSpace
from server.videos.durable_ledger import DurableLedger, finished_piece, piece_of
from server.videos.joining import join_pieces
from server.videos.keeping import Lost
from server.videos.ledger import Finished
from server.videos.pieces import cuts_of, in_one_piece, keys_of
from server.videos.places import results_name
from server.videos.reader import CutsDiffer, Space, Work
from server.videos.segmenting import all_losses, cuts_of_video, planned, segment_pieces
from server.videos.services import Services
from server.videos.steps import Step, step_of
from server.videos.whole import Whole


@dataclass(slots=True)
class Counts:
    """The frames of each piece recorded so far, and the video's losses once they are known."""

    frames: dict[int, int] = field(default_factory=dict)
    losses: Losses | None = None

    @property
    def total(self) -> int:
        return sum(self.frames.values())


class VideoJob:
    """Does this server's work on one video, next to other servers on the same folder; a job for the
    same record continues it after an interruption.

    ``lanes`` returns how many pieces are segmented at the same time; ``changed`` is called on the
    event loop after each recorded frame. Mutable state: the counts.
    """

    def __init__(
        self,
        services: Services,
        record: VideoRecord,
        lanes: Callable[[], int],
        changed: Callable[[], None],
    ) -> None:
        self.counts = Counts({-1: record.frames_done})
        self._services = services
        self._record = record
        self._lanes = lanes
        self._changed = changed
        self._space = _Announced(services.space, changed)
        self._folder = services.files.pieces(record.id)
        self._signature = services.signature()
        self._ledger = DurableLedger(
            services.files.piece_rows,
            services.disk,
            record.id,
            services.files.owner,
            self._signature,
            self._folder,
            services.files.terms,
            services.clock,
            services.on_piece,
            services.on_taken,
        )
        self._whole = Whole(self._ledger, self._is_next)

    @property
    def ends_by(self) -> Held | None:
        """Return the row held by this server with which it can end the video after an error; None
        if it holds none yet."""
        return self._whole.held or self._ledger.ends_by

    @property
    def rests(self) -> bool:
        """Return whether to leave the video to other servers for a while, because it failed
        here."""
        return self._ledger.rests

    async def run(self) -> str | None:
        """Take step after step until the results are made; return the name of their folder, which
        must be stored under ``ends_by``. Return None if there is no more work here: other servers
        do the rest, or the video has ended.

        Raises as :func:`segment_pieces` and :meth:`Whole.taken`, except for Lost.
        """
        try:
            while not self.rests and (step := self._step(await self._standing())):
                if step is Step.JOIN:
                    return await self._join()
                await (self._plan() if step is Step.PLAN else self._segment())
        except Lost:
            pass
        return None

    async def _standing(self) -> Standing:
        """Return the remaining work. Raises Lost if the video has ended."""
        files = self._services.files
        found = await self._services.disk(files.store.standings, self._record.id)
        if not found:
            raise Lost
        return found[0]

    def _step(self, video: Standing) -> Step | None:
        return step_of(video, self._signature, self._services.files.terms.patience)

    async def _is_next(self, step: Step) -> bool:
        """Return whether a step is the next one for this server, which has the whole video."""
        return self._step(replace(await self._standing(), whole_is_free=True)) is step

    async def _plan(self) -> None:
        async with self._whole.taken(Step.PLAN) as taken:
            cuts = await self._cuts()
            length = self._services.settings.piece_frames
            found = await asyncio.to_thread(planned, self._work(cuts), length)
            horizon = self._services.worker.spec.memory_horizon
            keys = [keys_of(piece, cuts, horizon) for piece in found.pieces]
            await self._ledger.plan(self._ledger.held(taken), found, keys)
        await self._whole.let_go(taken)

    async def _segment(self) -> None:
        rows = await self._ledger.follow()
        if not rows:
            raise Lost
        done = [row for row in rows if row.state is PieceState.DONE]
        self.counts.frames = {row.number: row.frames or 0 for row in done}
        self._changed()
        pieces = [piece_of(row) for row in rows]
        cuts = cuts_of(pieces, [row.keys for row in rows])
        lanes = self._lanes() if len(rows) > 1 else 1
        try:
            await segment_pieces(self._work(cuts), self._ledger, lanes, self._on_frames)
        except CutsDiffer:
            assert self._ledger.ends_by, "what differs was found in a piece"
            in_one = in_one_piece(Uncut.DAMAGED)
            await self._ledger.plan(self._ledger.ends_by, in_one)
            self._ledger.ends_by = None

    async def _join(self) -> str:
        async with self._whole.taken(Step.JOIN) as taken:
            finished = [finished_piece(row) for row in await self._ledger.follow()]
            if not finished:
                raise Lost
            self.counts.frames = {piece.number: piece.frames for piece in finished}
            self.counts.losses = all_losses(finished)
            name, files = results_name(taken.epoch), self._services.files
            results = files.results(self._record.id, name)
            await asyncio.to_thread(files.places.remove_results_before, self._record.id, name)
            try:
                await self._make(finished, results)
            except BaseException:
                await asyncio.to_thread(shutil.rmtree, results, ignore_errors=True)
                raise
        return name

    async def _make(self, finished: Sequence[Finished], results: Path) -> None:
        """Make the results; on a full disk, wait for space and try again."""
        work = self._work(Cuts(0))
        while True:
            try:
                return await join_pieces(work, finished, results)
            except DiskFull:
                await asyncio.to_thread(shutil.rmtree, results, ignore_errors=True)
            await self._space.wait_for_space()

    async def _cuts(self) -> Cuts:
        services, info = self._services, self._record.info
        upload, limit = services.files.upload(self._record.id), services.settings.max_pixels
        return await asyncio.to_thread(cuts_of_video, services.prober, upload, info, limit)

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

    def _on_losses(self, losses: Losses) -> None:
        self.counts.losses = losses

    def _on_frames(self, number: int, frames: int) -> None:
        self.counts.frames[number] = frames
        self._changed()


class _Announced(Space):
    """Waits for free space on the disk, and notifies the video's watchers."""

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
