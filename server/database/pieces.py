"""The durable rows of a video's pieces: which server segments which, and which are finished.

A piece belongs to the owner in its row, under its epoch, until its lease expires by the database's
clock. Taking one is one conditional UPDATE that raises the epoch, and every later change requires
that epoch, so a server that was thought dead changes nothing. It also requires that the video is
still planned for what the server segments. The row WHOLE of a video stands for the work on the
whole video: planning its pieces and joining them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sql

from server.database.clock import seconds_now
from server.database.connection import Database
from server.database.piece_statements import (
    WHOLE,
    Held,
    PieceState,
    counted,
    follows,
    held,
    is_free,
    is_held,
    is_kept,
    let_go,
    lock,
    video_row,
    waiting,
    worked_on,
)
from server.database.schema import PIECES
from server.frame import Losses


@dataclass(frozen=True, slots=True)
class PieceRow:
    """One piece as last stored: frames ``first`` to ``last`` (None: to the end).

    ``free`` says whether it can be taken now; ``deaths`` counts how often in a row its holder died
    in the same place, including the present holder, if any; ``frames`` is how many are done, None
    if that is unknown, and ``losses`` are known when all are done. ``keys`` are the key frames from
    which it is read, as JSON.
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
    keys: Any = None


class PieceRows:
    """Rows of pieces. Synchronous; any thread may use it. Raises Fault if the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def plan(
        self,
        by: Held,
        pieces: Sequence[tuple[int, int | None, Any]],
        uncut: str | None,
        planned_for: str,
    ) -> bool:
        """Store (first, last, keys) of each piece, in place of all earlier ones, as not begun;
        return False if the planner has lost its row. A holder of the whole video may plan only if
        nobody has a piece; a holder of a piece plans when it has found that there must be no other
        pieces.

        Epochs continue, so no file of an earlier piece is taken for one of these.
        """
        mine = sql.and_(PIECES.c.video == by.video, PIECES.c.number != WHOLE)
        with self._database.begin() as connection:
            taken = sql.select(PIECES.c.number).where(mine, is_held()).limit(1)
            if not is_kept(connection, by):
                return False
            if by.number == WHOLE and connection.scalar(taken) is not None:
                return False
            epoch = connection.scalar(sql.select(sql.func.max(PIECES.c.epoch)).where(mine)) or 0
            connection.execute(PIECES.delete().where(mine))
            connection.execute(
                PIECES.insert().values(expires=seconds_now()),
                [
                    waiting(by.video, number, epoch) | {"first": first, "last": last, "keys": keys}
                    for number, (first, last, keys) in enumerate(pieces)
                ],
            )
            values = {"pieces": len(pieces), "uncut": uncut, "planned_for": planned_for}
            connection.execute(
                video_row(by.video).values(**values, frames_done=0, spent=0.0, progressed=None)
            )
            return True

    def all(self, video: str, planned_for: str) -> list[PieceRow]:
        """Return a video's pieces in order; none if it is planned for something else."""
        chosen = sql.select(PIECES, is_free().label("free"))
        mine = sql.and_(PIECES.c.video == video, PIECES.c.number != WHOLE)
        of_plan = sql.and_(mine, follows(video, planned_for))
        with self._database.begin() as connection:
            rows = connection.execute(chosen.where(of_plan).order_by(PIECES.c.number))
            return [_from_row(row) for row in rows.mappings()]

    def take(
        self, video: str, number: int, owner: str, lease: float, planned_for: str
    ) -> PieceRow | None:
        """Begin a free piece for ``lease`` seconds; return None if it is not free, or if the video
        is planned for something else. The video runs, then, even if another server has just put it
        back."""
        return self._taken(video, number, owner, lease, follows(video, planned_for))

    def take_whole(self, video: str, owner: str, lease: float) -> PieceRow | None:
        """Begin the work on a whole video, whatever it is planned for, as :meth:`take`."""
        return self._taken(video, WHOLE, owner, lease, sql.true())

    def renew(self, piece: Held, lease: float, frames: int = 0) -> bool:
        """Keep a piece, of which ``frames`` are done, for ``lease`` more seconds; return False if
        it was lost. The video's row gets the frames of all pieces."""
        kept = held(piece).values(expires=seconds_now() + lease, frames=frames)
        with self._database.begin() as connection:
            if connection.execute(kept).rowcount != 1:
                return False
            if frames:
                connection.execute(counted(piece.video))
            return True

    def finish(self, piece: Held, frames: int, losses: Losses, now: float) -> bool:
        """Mark a piece as done; return False if it was lost. Idempotent: a caller without an answer
        asks again, and must not believe that a piece is lost that it has finished.

        The video's row gets the frames of all pieces, and ``now`` as the time of the last progress,
        in seconds since the epoch.
        """
        done = held(piece, PieceState.DONE).values(
            **let_go(PieceState.DONE), frames=frames, losses=asdict(losses)
        )
        with self._database.begin() as connection:
            if connection.execute(done).rowcount != 1:
                return False
            connection.execute(counted(piece.video).values(progressed=now))
            return True

    def fail(self, piece: Held) -> int:
        """Count a failure of a piece, which stays held; return how many there were, 0 if it was
        lost."""
        failed = held(piece).values(failures=PIECES.c.failures + 1)
        with self._database.begin() as connection:
            return connection.scalar(failed.returning(PIECES.c.failures)) or 0

    def release(self, piece: Held) -> bool:
        """Let another lane have a piece; return False if it was lost."""
        return self._changed(
            held(piece).values(
                **let_go(PieceState.WAITING), deaths=PIECES.c.deaths - 1, frames=None
            )
        )

    def died(self, piece: Held, reached: int, near: int) -> int:
        """Record after how many frames of a piece its previous holder died; return the deaths in
        that place, including this one.

        If it is more than ``near`` frames from the place of the last death, it counts as the first
        one.
        """
        before = PIECES.c.reached
        again = sql.or_(before.is_(None), sql.func.abs(before - reached) <= near)
        deaths = sql.case((again, PIECES.c.deaths), else_=2)
        noted = held(piece).values(deaths=deaths, reached=reached)
        with self._database.begin() as connection:
            return connection.scalar(noted.returning(PIECES.c.deaths)) or 0

    def count_held(self, owner: str) -> int:
        """Return how many pieces an owner has at present."""
        mine = sql.and_(PIECES.c.owner == owner, PIECES.c.number != WHOLE, is_held())
        with self._database.begin() as connection:
            return connection.scalar(sql.select(sql.func.count()).where(mine)) or 0

    def free(self, owner: str, but: Collection[str] = (), *, died: bool = True) -> None:
        """Release all that an owner holds, except of the videos ``but``, because it ``died`` or
        because it does not know that it holds them."""
        left = sql.and_(
            PIECES.c.owner == owner,
            PIECES.c.state == PieceState.RUNNING,
            PIECES.c.video.not_in(but),
        )
        deaths = PIECES.c.deaths if died else PIECES.c.deaths - 1
        released = PIECES.update().where(left)
        with self._database.begin() as connection:
            lock(connection, left)
            connection.execute(released.values(**let_go(PieceState.WAITING), deaths=deaths))

    def _taken(
        self, video: str, number: int, owner: str, lease: float, allowed: sql.ColumnElement[bool]
    ) -> PieceRow | None:
        taken = (
            PIECES.update()
            .where(PIECES.c.video == video, PIECES.c.number == number, is_free(), allowed)
            .values(
                state=PieceState.RUNNING,
                owner=owner,
                epoch=PIECES.c.epoch + 1,
                expires=seconds_now() + lease,
                deaths=PIECES.c.deaths + 1,
                frames=None,
            )
            .returning(PIECES, sql.false().label("free"))
        )
        with self._database.begin() as connection:
            row = connection.execute(taken).mappings().first()
            if row is None:
                return None
            connection.execute(worked_on(video))
            return _from_row(row)

    def _changed(self, statement: sql.Update) -> bool:
        with self._database.begin() as connection:
            return connection.execute(statement).rowcount == 1


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
        keys=row["keys"],
    )
