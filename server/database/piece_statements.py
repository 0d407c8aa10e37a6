"""Statements shared by those about pieces of videos and those about the videos themselves."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

import sqlalchemy as sql

from server.database.clock import seconds_now
from server.database.schema import PIECES, VIDEOS
from server.database.video_record import ACTIVE, VideoState

WHOLE = -1
"""The number of the row that stands for the whole video; all others are from 0 on."""


class PieceState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"


class Held(NamedTuple):
    """A piece under the epoch in which its holder took it."""

    video: str
    number: int
    epoch: int


def whole(video: str) -> sql.Insert:
    """Return the insertion of the row that stands for a new video."""
    return PIECES.insert().values(waiting(video, WHOLE, 0) | {"first": 0})


def missing_wholes(videos: sql.ColumnElement[bool]) -> sql.Insert:
    """Return the insertion of these rows for those of the ``videos`` that have not ended and have
    no such row: a server of an older version added or planned them."""
    of_video = sql.exists().where(PIECES.c.video == VIDEOS.c.id, PIECES.c.number == WHOLE)
    bare = sql.and_(VIDEOS.c.state.in_(ACTIVE), videos, sql.not_(of_video))
    fresh = waiting("", WHOLE, 0) | {"first": 0}
    del fresh["video"]
    columns = [sql.literal(value).label(name) for name, value in fresh.items()]
    chosen = sql.select(VIDEOS.c.id, *columns).where(bare)
    return PIECES.insert().from_select(["video", *fresh], chosen)


def follows(video: str, planned_for: str) -> sql.ColumnElement[bool]:
    """Return whether a video is planned for this, and not by a server with another model or other
    settings."""
    return sql.exists().where(VIDEOS.c.id == video, VIDEOS.c.planned_for == planned_for)


def let_go(state: PieceState) -> dict[str, Any]:
    """Return what a piece has that nobody has any more, in this state: ``expires`` says since
    when."""
    return {"state": state, "expires": seconds_now()}


def untouched() -> sql.ColumnElement[float]:
    """Return for how many seconds nobody has had any of a group of pieces, counted from their
    planning if nobody ever had; a large number if there are none yet, and a negative one while
    somebody has one."""
    part = sql.case((PIECES.c.number != WHOLE, PIECES.c.expires))
    return seconds_now() - sql.func.coalesce(sql.func.max(part), 0.0)


def is_free() -> sql.ColumnElement[bool]:
    """Return whether a piece can be taken."""
    expired = sql.and_(PIECES.c.state == PieceState.RUNNING, PIECES.c.expires < seconds_now())
    return sql.or_(PIECES.c.state == PieceState.WAITING, expired)


def is_held() -> sql.ColumnElement[bool]:
    """Return whether somebody has a piece."""
    return sql.and_(PIECES.c.state == PieceState.RUNNING, PIECES.c.expires >= seconds_now())


def is_kept(connection: sql.Connection, piece: Held) -> bool:
    """Return whether a piece is still its holder's, and keep it so until the transaction ends.

    All rows of the video are locked, in one order, before that of the video itself; every change of
    both uses this order.
    """
    lock_all(connection, piece.video)
    return connection.execute(held(piece).values(epoch=PIECES.c.epoch)).rowcount == 1


def lock_all(connection: sql.Connection, video: str) -> None:
    """Lock all pieces of a video until the transaction ends, if the database can lock rows."""
    lock(connection, PIECES.c.video == video)


def lock(connection: sql.Connection, chosen: sql.ColumnElement[bool]) -> None:
    """Lock the chosen pieces until the transaction ends, if the database can lock rows."""
    rows = sql.select(PIECES.c.number).where(chosen).order_by(PIECES.c.video, PIECES.c.number)
    connection.execute(rows.with_for_update())


def waiting(video: str, number: int, epoch: int) -> dict[str, Any]:
    """Return the values of a piece that nobody has begun."""
    state = PieceState.WAITING
    return {"video": video, "number": number, "state": state, "epoch": epoch, "deaths": 0}


def held(piece: Held, *more: PieceState) -> sql.Update:
    """Return an update of a piece that its holder still has, or has left in one of ``more``
    states."""
    return PIECES.update().where(
        PIECES.c.video == piece.video,
        PIECES.c.number == piece.number,
        PIECES.c.epoch == piece.epoch,
        PIECES.c.state.in_((PieceState.RUNNING, *more)),
    )


def video_row(video: str) -> sql.Update:
    """Return an update of a video."""
    return VIDEOS.update().where(VIDEOS.c.id == video)


def counted(video: str) -> sql.Update:
    """Return an update of a video's frames to those of all its pieces."""
    total = sql.select(sql.func.coalesce(sql.func.sum(PIECES.c.frames), 0))
    of_video = sql.and_(PIECES.c.video == video, PIECES.c.number != WHOLE)
    return video_row(video).values(frames_done=total.where(of_video).scalar_subquery())


def worked_on(video: str) -> sql.Update:
    """Return an update of a video of which a piece has been taken: it runs, and the frames of that
    piece no longer count."""
    waited = VIDEOS.c.state == VideoState.QUEUED
    return counted(video).values(
        state=VideoState.RUNNING,
        attempts=sql.case((waited, VIDEOS.c.attempts + 1), else_=VIDEOS.c.attempts),
        started=sql.case((waited, seconds_now()), else_=VIDEOS.c.started),
    )
