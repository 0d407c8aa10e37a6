"""Statements shared by those about uploaded videos."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import sqlalchemy as sql

from server.database.piece_statements import is_held
from server.database.schema import PIECES, VIDEOS
from server.database.video_record import VideoRecord, VideoState
from server.frame import Losses, VideoInfo
from server.sinks.style import Style


def moved(*states: VideoState) -> sql.Update:
    """Return an update of videos in one of these states."""
    return VIDEOS.update().where(VIDEOS.c.state.in_(states))


def ended_now(connection: sql.Connection, video: str, ended: sql.Update) -> bool:
    """End a video, whose pieces are locked, and remove these; return False if it has ended."""
    if connection.execute(ended).rowcount != 1:
        return False
    connection.execute(PIECES.delete().where(PIECES.c.video == video))
    return True


def at_least(frames: int) -> sql.ColumnElement[int]:
    """Return the stored number of a video's frames, or ``frames`` if there are more."""
    known = VIDEOS.c.frames_done
    return sql.case((known > frames, known), else_=frames)


def is_worked_on() -> sql.ColumnElement[bool]:
    """Return whether somebody has a piece of a video, or the work on the whole video."""
    return sql.exists().where(PIECES.c.video == VIDEOS.c.id, is_held())


def queued_again() -> dict[str, Any]:
    """Return the values of a video that goes back into the queue."""
    fresh = {"state": VideoState.QUEUED, "started": None, "progressed": None}
    return fresh | {"spent": worked()}


def worked() -> sql.ColumnElement[float]:
    """Return for how many seconds a video was segmented, as far as that is known."""
    now = sql.func.coalesce(VIDEOS.c.progressed - VIDEOS.c.started, 0.0)
    return VIDEOS.c.spent + now


def number_of(*conditions: sql.ColumnElement[bool]) -> sql.ColumnElement[int]:
    """Return how many rows of a group meet all conditions."""
    return sql.func.sum(sql.case((sql.and_(*conditions), 1), else_=0))


def to_row(record: VideoRecord) -> dict[str, Any]:
    """Return a record as it is stored."""
    row = {column.name: getattr(record, column.name) for column in VIDEOS.c}
    row["info"] = record.info.to_dict()
    row["artefacts"] = list(record.artefacts)
    row["losses"] = None if record.losses is None else asdict(record.losses)
    row["style"] = record.style.to_dict()
    return row


def from_row(row: Mapping[Any, Any]) -> VideoRecord:
    """Return a record that was stored."""
    values = dict(row)
    values["info"] = VideoInfo.from_dict(values["info"])
    values["losses"] = None if values["losses"] is None else Losses(**values["losses"])
    values["artefacts"] = tuple(values["artefacts"])
    values["style"] = Style.from_dict(values["style"])
    values["state"] = VideoState(values["state"])
    return VideoRecord(**values)
