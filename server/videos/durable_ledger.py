"""The pieces of an uploaded video, in the database: they survive the server, and other servers on
the same folder can take them."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from server.database.piece_statements import WHOLE, Held, PieceState
from server.database.pieces import PieceRow, PieceRows
from server.errors import Fault
from server.frame import Losses
from server.sources.cuts import KeyFrame
from server.threads import ThreadRunner
from server.videos.joining import flush
from server.videos.keeping import Lost
from server.videos.lane import REACHED
from server.videos.ledger import Finished, Ledger, Taken, Terms, attempts, older_attempts
from server.videos.pieces import Piece, Plan, next_piece, stored_keys

RETRY_SECONDS = 1.0

MAX_FAILURES = 3

NEAR = 8
"""In frames. A piece that kills the server does so within a window of frames after the last
recorded one; other deaths are farther apart."""

P = ParamSpec("P")
R = TypeVar("R")

OnPiece = Callable[[str], None]
"""Receives the result of a piece on this server: done, failed or lost."""
OnTaken = Callable[[str], None]
"""Receives why this server took over a piece that another process had begun: restart or expired."""

_log = logging.getLogger(__name__)


class DurableLedger(Ledger):
    """The rows of one video, used by one ``owner`` that segments it for ``signature``; ``folder``
    has the files of its pieces.

    Pieces are taken only from the plan that :meth:`follow` has found, since reading them depends on
    the whole plan. If the database fails, requests are repeated until it answers, except the
    release of a piece: its lease ends by itself. The database may have carried out a request before
    it failed, so every request may be carried out twice. Mutable state: the plan; ``ends_by``, the
    piece that ends the video, if there is one; ``rests``, whether no more pieces are taken because
    one has failed.
    """

    max_failures = MAX_FAILURES

    def __init__(
        self,
        rows: PieceRows,
        disk: ThreadRunner,
        video: str,
        owner: str,
        signature: str,
        folder: Path,
        terms: Terms,
        clock: Callable[[], float],
        on_piece: OnPiece = lambda _: None,
        on_taken: OnTaken = lambda _: None,
    ) -> None:
        self.ends_by: Held | None = None
        self.rests = False
        self.terms = terms
        self._plan: list[Piece] = []
        self._rows = rows
        self._disk = disk
        self._video = video
        self._owner = owner
        self._signature = signature
        self._folder = folder
        self._clock = clock
        self._on_piece = on_piece
        self._on_taken = on_taken

    async def take_whole(self) -> Taken:
        """Take the work on the whole video. Raises Lost if another server has it, or the video has
        ended."""
        lease = self.terms.lease
        row = await self._ask(self._rows.take_whole, self._video, self._owner, lease)
        if row is None:
            raise Lost
        return _taken(row)

    async def plan(self, by: Held, found: Plan, keys: Sequence[Sequence[KeyFrame]] = ((),)) -> None:
        """Store a plan in place of all earlier pieces, with the ``keys`` of each, and remove their
        files. Raises Lost if the row held ``by`` this server was lost, or if others segment
        pieces."""
        pieces = [
            (piece.first, piece.last, stored_keys(of_piece))
            for piece, of_piece in zip(found.pieces, keys, strict=True)
        ]
        # This must happen before others can take pieces of the new plan.
        stale = await self._disk(attempts, self._folder)
        if not await self._ask(self._rows.plan, by, pieces, found.reason, self._signature):
            raise Lost
        await self._remove(stale)

    async def follow(self) -> list[PieceRow]:
        """Return the pieces of the present plan, and take pieces from it from now on; none if the
        video is planned for another signature, or has ended."""
        rows = await self._ask(self._rows.all, self._video, self._signature)
        self._plan = [piece_of(row) for row in rows]
        return rows

    async def take(self, after: int | None = None) -> Taken | None:
        while True:
            rows = await self._followed()
            free = {row.number for row in rows if row.free}
            running = {row.number for row in rows if row.state is PieceState.RUNNING} - free
            number = next_piece(free, running, after)
            if number is None:
                return None
            taken = await self._taken(number)
            if taken is not None:
                return await self._begun(taken, rows)

    async def renew(self, taken: Taken, frames: int) -> bool:
        kept = await self._ask(self._rows.renew, self.held(taken), self.terms.lease, frames)
        if not kept:
            self._note(taken, "lost")
        return kept

    async def finish(self, taken: Taken, frames: int, losses: Losses) -> bool:
        # Not in the thread for the database, where the renewals of other pieces would wait.
        await asyncio.to_thread(self._flush, taken)
        now = self._clock()
        is_kept = await self._ask(self._rows.finish, self.held(taken), frames, losses, now)
        self._note(taken, "done" if is_kept else "lost")
        return is_kept

    def _flush(self, taken: Taken) -> None:
        with suppress(FileNotFoundError):  # it was lost, and its new owner has removed the files
            flush(list((self._folder / taken.folder).iterdir()))

    async def fail(self, taken: Taken) -> int:
        failures = await self._ask(self._rows.fail, self.held(taken))
        self._note(taken, "failed" if failures else "lost")
        return failures

    async def release(self, taken: Taken) -> None:
        try:
            await self._disk(self._rows.release, self.held(taken))
        except Fault:
            _log.exception("%s are not released: their lease has to end", taken.piece)

    def give_up(self, taken: Taken) -> None:
        self.ends_by = self.held(taken)

    def rest(self) -> None:
        self.rests = self.terms.rest > 0

    async def finished(self) -> list[Finished]:
        rows = await self._followed()
        return [finished_piece(row) for row in rows if row.state is PieceState.DONE]

    async def any_free(self) -> bool:
        return any(row.free for row in await self._followed())

    def held(self, taken: Taken) -> Held:
        """Return the row that was taken, as it is named in the database."""
        return Held(self._video, taken.piece.number, taken.epoch)

    def _note(self, taken: Taken, result: str) -> None:
        if taken.piece.number != WHOLE:
            self._on_piece(result)

    async def _followed(self) -> list[PieceRow]:
        """Return the rows of all pieces; none if the plan has changed, or if this server takes no
        more."""
        rows = await self._ask(self._rows.all, self._video, self._signature)
        return rows if [piece_of(row) for row in rows] == self._plan and not self.rests else []

    async def _taken(self, number: int) -> Taken | None:
        """Take a piece; return None if another server has it, or if the plan has changed."""
        given = self._video, number, self._owner, self.terms.lease, self._signature
        row = await self._ask(self._rows.take, *given)
        if row is None:
            return None
        taken = _taken(row)
        if taken.piece == self._plan[number]:
            return taken
        await self.release(taken)
        return None

    async def _begun(self, taken: Taken, before: Sequence[PieceRow]) -> Taken:
        """Remove the files of a piece's earlier attempts, after recording the progress of the last
        one if its server died."""
        was_held = PieceState.RUNNING is before[taken.piece.number].state
        older = await self._disk(older_attempts, self._folder, taken)
        if taken.deaths and (was_held or older):
            self._on_taken("expired" if was_held else "restart")
        if taken.deaths and older:
            reached = await self._disk(_frames_in, older[-1])
            deaths = await self._ask(self._rows.died, self.held(taken), reached, NEAR)
            taken = replace(taken, deaths=max(deaths - 1, 0))
        await self._remove(older)
        return taken

    async def _remove(self, folders: Sequence[Path]) -> None:
        # Not in the thread for the database, where the renewals of other pieces would wait.
        for folder in folders:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)

    async def _ask(self, act: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        while True:
            try:
                return await self._disk(act, *args, **kwargs)
            except Fault:
                _log.exception("the database failed; trying again in %s s", RETRY_SECONDS)
                await asyncio.sleep(RETRY_SECONDS)


def finished_piece(row: PieceRow) -> Finished:
    """Return a row that is done as a finished piece."""
    return Finished(row.number, _taken(row).folder, row.frames or 0, row.losses or Losses())


def piece_of(row: PieceRow) -> Piece:
    """Return the piece that is stored in a row."""
    return Piece(row.number, row.first, row.last)


def _taken(row: PieceRow) -> Taken:
    return Taken(piece_of(row), row.epoch, max(row.deaths - 1, 0))


def _frames_in(attempt: Path) -> int:
    """Return how many frames an interrupted attempt has recorded."""
    try:
        return int((attempt / REACHED).read_text())
    except (OSError, ValueError):
        return 0
