"""The pieces of an uploaded video, in the database: they survive the server."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

from server.database.pieces import Held, PieceRow, PieceRows, PieceState
from server.errors import Fault
from server.frame import Losses
from server.threads import ThreadRunner
from server.videos.joining import flush
from server.videos.lane import RENEW_SECONDS
from server.videos.ledger import Finished, Ledger, Taken
from server.videos.pieces import Piece, Plan, next_piece

LEASE_SECONDS = 3 * RENEW_SECONDS
RETRY_SECONDS = 1.0

MAX_FAILURES = 3

NEAR = 8
"""Frames. A piece that kills the server does so within a window of frames after the last one that
was recorded; other deaths are farther apart."""

P = ParamSpec("P")
R = TypeVar("R")

_log = logging.getLogger(__name__)


class DurableLedger(Ledger):
    """The rows of one video, used by one ``owner``; ``folder`` has the files of its pieces.

    A database that fails is asked again until it answers, except to release a piece: its lease
    ends by itself. It may have done what it was asked before it failed: each of these may be done
    twice. ``spent`` returns for how many seconds the video has been segmented. Mutable
    state: how often each piece has failed.
    """

    max_failures = MAX_FAILURES

    def __init__(
        self,
        rows: PieceRows,
        disk: ThreadRunner,
        video: str,
        owner: str,
        folder: Path,
        spent: Callable[[], float],
    ) -> None:
        self._rows = rows
        self._disk = disk
        self._video = video
        self._owner = owner
        self._folder = folder
        self._spent = spent
        self._failures: Counter[int] = Counter()

    async def plan(self, found: Plan, signature: str) -> None:
        """Store a plan in place of all earlier pieces; ``signature`` says what it is for."""
        pieces = [(piece.first, piece.last) for piece in found.pieces]
        await self._ask(self._rows.plan, self._video, pieces, found.reason, signature)

    async def take(self, after: int | None = None) -> Taken | None:
        while True:
            rows = await self.rows()
            free = {row.number for row in rows if row.free}
            running = {row.number for row in rows if row.state is PieceState.RUNNING} - free
            number = next_piece(free, running, after)
            if number is None:
                return None
            row = await self._ask(self._rows.take, self._video, number, self._owner, LEASE_SECONDS)
            if row is not None:
                piece = Piece(row.number, row.first, row.last)
                return Taken(piece, row.epoch, row.deaths - 1)

    async def renew(self, taken: Taken) -> bool:
        return await self._ask(self._rows.renew, self._held(taken), LEASE_SECONDS)

    async def finish(self, taken: Taken, frames: int, losses: Losses) -> bool:
        files = list((self._folder / taken.folder).iterdir())
        await self._disk(flush, files)
        return await self._ask(self._rows.finish, self._held(taken), frames, losses, self._spent())

    async def release(self, taken: Taken, *, failed: bool) -> int:
        number = taken.piece.number
        self._failures[number] += failed
        try:
            await self._disk(self._rows.release, self._held(taken))
        except Fault:
            _log.exception("%s are not released: their lease has to end", taken.piece)
        return self._failures[number]

    async def died(self, number: int, reached: int) -> None:
        """Record after how many frames of a piece an earlier server died."""
        await self._ask(self._rows.died, self._video, number, reached, NEAR)

    async def finished(self) -> list[Finished]:
        return [finished_piece(row) for row in await self.rows() if row.state is PieceState.DONE]

    async def all_done(self) -> bool:
        return all(row.state is PieceState.DONE for row in await self.rows())

    async def rows(self) -> list[PieceRow]:
        """Return all pieces as they are stored."""
        return await self._ask(self._rows.all, self._video)

    def _held(self, taken: Taken) -> Held:
        return Held(self._video, taken.piece.number, taken.epoch)

    async def _ask(self, act: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        while True:
            try:
                return await self._disk(act, *args, **kwargs)
            except Fault:
                _log.exception("the database failed; it is asked again in %s s", RETRY_SECONDS)
                await asyncio.sleep(RETRY_SECONDS)


def finished_piece(row: PieceRow) -> Finished:
    """Return a row that is done as a finished piece."""
    taken = Taken(Piece(row.number, row.first, row.last), row.epoch)
    return Finished(row.number, taken.folder, row.frames or 0, row.losses or Losses())
