"""The durable rows of a video's pieces: who segments which, and what is finished.

A piece belongs to the owner in its row, under its epoch, until its lease expires by the database's
clock. Taking one is one conditional UPDATE that raises the epoch, and every later change requires
that epoch, so a server that was thought dead changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, NamedTuple

import sqlalchemy as sql

from server.database.clock import seconds_now
from server.database.connection import Database
from server.database.schema import PIECES, VIDEOS
from server.frame import Losses


class PieceState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class PieceRow:
    """One piece as last stored: frames ``first`` to ``last`` (None: to the end).

    ``free`` says whether it can be taken now; ``deaths`` counts how often in a row its holder died
    in the same place, this time included while somebody holds it; ``frames`` and ``losses`` are
    known when it is done.
    """

    video: str
    number: int
    first: int
    last: int | None
    state: PieceState
    epoch: int
    deaths: int
    free: bool
    frames: int | None = None
    losses: Losses | None = None


class Held(NamedTuple):
    """A piece under the epoch in which its holder took it."""

    video: str
    number: int
    epoch: int


class PieceRows:
    """Rows of pieces. Synchronous; any thread may use it. Raises Fault if the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def plan(
        self,
        video: str,
        pieces: Sequence[tuple[int, int | None]],
        uncut: str | None,
        planned_for: str,
    ) -> None:
        """Store the (first, last) of a video's pieces, in place of all that it had, none begun.

        Epochs continue, so no file of an earlier piece is taken for one of these.
        """
        mine = PIECES.c.video == video
        with self._database.begin() as connection:
            epoch = connection.scalar(sql.select(sql.func.max(PIECES.c.epoch)).where(mine)) or 0
            connection.execute(PIECES.delete().where(mine))
            fresh = {"video": video, "state": PieceState.WAITING, "epoch": epoch, "deaths": 0}
            connection.execute(
                PIECES.insert(),
                [
                    {**fresh, "number": number, "first": first, "last": last}
                    for number, (first, last) in enumerate(pieces)
                ],
            )
            values = {"pieces": len(pieces), "uncut": uncut, "planned_for": planned_for}
            connection.execute(_video(video).values(**values, frames_done=0, spent=0.0))

    def all(self, video: str) -> list[PieceRow]:
        """Return a video's pieces in order."""
        chosen = sql.select(PIECES, _is_free().label("free"))
        with self._database.begin() as connection:
            rows = connection.execute(
                chosen.where(PIECES.c.video == video).order_by(PIECES.c.number)
            )
            return [_from_row(row) for row in rows.mappings()]

    def take(self, video: str, number: int, owner: str, lease: float) -> PieceRow | None:
        """Begin a free piece, for ``lease`` seconds; return None if it is not free."""
        taken = (
            PIECES.update()
            .where(PIECES.c.video == video, PIECES.c.number == number, _is_free())
            .values(
                state=PieceState.RUNNING,
                owner=owner,
                epoch=PIECES.c.epoch + 1,
                expires=seconds_now() + lease,
                deaths=PIECES.c.deaths + 1,
            )
            .returning(PIECES, sql.false().label("free"))
        )
        with self._database.begin() as connection:
            row = connection.execute(taken).mappings().first()
            if row is None:
                return None
            # The video was opened and planned: from here on, its pieces count the deaths.
            connection.execute(_video(video).values(attempts=1))
            return _from_row(row)

    def renew(self, piece: Held, lease: float) -> bool:
        """Keep a piece for ``lease`` more seconds; return False if it was lost."""
        return self._changed(_held(piece).values(expires=seconds_now() + lease))

    def finish(self, piece: Held, frames: int, losses: Losses, spent: float) -> bool:
        """Mark a piece as done; return False if it was lost. Idempotent: who gets no answer asks
        again, and must not take a piece for lost that it has finished.

        The video's row gets the frames of all pieces that are done, and ``spent``, the seconds that
        they took.
        """
        done = _held(piece, PieceState.DONE).values(
            state=PieceState.DONE, expires=None, frames=frames, losses=asdict(losses)
        )
        total = sql.select(sql.func.sum(PIECES.c.frames)).where(PIECES.c.video == piece.video)
        with self._database.begin() as connection:
            if connection.execute(done).rowcount != 1:
                return False
            values = {"frames_done": total.scalar_subquery(), "spent": spent}
            connection.execute(_video(piece.video).values(**values))
            return True

    def release(self, piece: Held) -> bool:
        """Let another lane have a piece; return False if it was lost."""
        return self._changed(
            _held(piece).values(state=PieceState.WAITING, expires=None, deaths=PIECES.c.deaths - 1)
        )

    def died(self, video: str, number: int, reached: int, near: int) -> None:
        """Record after how many frames of a piece its holder died.

        If that is more than ``near`` frames from where one died before, it is the first time.
        """
        before = PIECES.c.reached
        again = sql.or_(before.is_(None), sql.func.abs(before - reached) <= near)
        counted = sql.case((again, PIECES.c.deaths), else_=1)
        mine = PIECES.update().where(PIECES.c.video == video, PIECES.c.number == number)
        self._changed(mine.values(deaths=counted, reached=reached))

    def free_all(self, owner: str) -> None:
        """Release all pieces of an owner that has died."""
        left = PIECES.update().where(PIECES.c.owner == owner, PIECES.c.state == PieceState.RUNNING)
        with self._database.begin() as connection:
            connection.execute(left.values(state=PieceState.WAITING, expires=None))

    def _changed(self, statement: sql.Update) -> bool:
        with self._database.begin() as connection:
            return connection.execute(statement).rowcount == 1


def _is_free() -> sql.ColumnElement[bool]:
    expired = sql.and_(PIECES.c.state == PieceState.RUNNING, PIECES.c.expires < seconds_now())
    return sql.or_(PIECES.c.state == PieceState.WAITING, expired)


def _held(piece: Held, *more: PieceState) -> sql.Update:
    """Return an update of a piece that its holder still has, or has left in one of ``more``
    states."""
    return PIECES.update().where(
        PIECES.c.video == piece.video,
        PIECES.c.number == piece.number,
        PIECES.c.epoch == piece.epoch,
        PIECES.c.state.in_((PieceState.RUNNING, *more)),
    )


def _video(video: str) -> sql.Update:
    return VIDEOS.update().where(VIDEOS.c.id == video)


def _from_row(row: Mapping[Any, Any]) -> PieceRow:
    losses = row["losses"]
    return PieceRow(
        video=row["video"],
        number=row["number"],
        first=row["first"],
        last=row["last"],
        state=PieceState(row["state"]),
        epoch=row["epoch"],
        deaths=row["deaths"],
        free=bool(row["free"]),
        frames=row["frames"],
        losses=None if losses is None else Losses(**losses),
    )
