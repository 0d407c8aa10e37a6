"""The durable rows of uploaded videos.

Every change of state is one conditional UPDATE, so two callers never both win: a cancelled video
does not become running, and one that ended stays as it ended. Times are passed in, as seconds
since the epoch. One server process owns the rows: at its start it takes back those that another
left running.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from server.database.connection import Database
from server.database.schema import VIDEOS
from server.database.video_record import ACTIVE, VideoRecord, VideoState
from server.errors import Conflict, NoCapacity
from server.frame import Losses, VideoInfo


class VideoRows:
    """Rows of videos. Synchronous; any thread may call. Raises Fault where the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, record: VideoRecord, max_queued: int) -> None:
        """Write a new video down. Raises NoCapacity when that many are queued, Conflict when its
        id or key is taken."""
        with self._database.begin() as connection:
            if _count(connection, VideoState.QUEUED) >= max_queued:
                raise NoCapacity(f"{max_queued} videos are queued already: try again later.")
            try:
                connection.execute(VIDEOS.insert().values(**_to_row(record)))
            except IntegrityError as error:
                raise Conflict("Another upload with this Idempotency-Key came first.") from error

    def get(self, video: str) -> VideoRecord | None:
        return self._one(VIDEOS.select().where(VIDEOS.c.id == video))

    def by_key(self, key: str) -> VideoRecord | None:
        return self._one(VIDEOS.select().where(VIDEOS.c.key == key))

    def page(self, limit: int, before: str | None = None) -> list[VideoRecord]:
        """The ``limit`` newest videos, or the newest of those older than the id ``before``."""
        chosen = VIDEOS.select().order_by(VIDEOS.c.id.desc()).limit(limit)
        if before is not None:
            chosen = chosen.where(VIDEOS.c.id < before)
        with self._database.begin() as connection:
            return [_from_row(row) for row in connection.execute(chosen).mappings()]

    def count(self, state: VideoState) -> int:
        """How many videos are in this state."""
        with self._database.begin() as connection:
            return _count(connection, state)

    def states(self) -> dict[str, VideoState]:
        """The state of every video, by its id."""
        with self._database.begin() as connection:
            rows = connection.execute(sql.select(VIDEOS.c.id, VIDEOS.c.state))
            return {video: VideoState(state) for video, state in rows}

    def claim(self, now: float) -> VideoRecord | None:
        """Begin the oldest queued video: it is running and the caller's. None when none waits."""
        oldest = (
            sql.select(VIDEOS.c.id)
            .where(VIDEOS.c.state == VideoState.QUEUED)
            .order_by(VIDEOS.c.id)
            .limit(1)
            # PostgreSQL would make a second claim wait for this one and then find nothing.
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        begun = (
            _moved(VideoState.QUEUED)
            .where(VIDEOS.c.id == oldest)
            .values(
                state=VideoState.RUNNING,
                started=now,
                frames_done=0,
                attempts=VIDEOS.c.attempts + 1,
            )
        )
        return self._one(begun.returning(*VIDEOS.c))

    def finish(
        self,
        video: str,
        state: VideoState,
        now: float,
        frames_done: int,
        problem: Mapping[str, Any] | None = None,
        losses: Losses | None = None,
    ) -> bool:
        """End a running video as succeeded or failed. False when it was not running any more."""
        ended = _moved(VideoState.RUNNING).where(VIDEOS.c.id == video)
        return self._changed(
            ended.values(
                state=state,
                ended=now,
                frames_done=frames_done,
                problem=problem,
                losses=None if losses is None else asdict(losses),
            )
        )

    def cancel(self, video: str, now: float, frames_done: int = 0) -> bool:
        """End a video that is queued or running. False when it is neither."""
        ended = _moved(*ACTIVE).where(VIDEOS.c.id == video)
        return self._changed(
            ended.values(state=VideoState.CANCELLED, ended=now, frames_done=frames_done)
        )

    def release(self, video: str) -> bool:
        """Put a running video back into the queue as if it had not been begun."""
        back = _moved(VideoState.RUNNING).where(VIDEOS.c.id == video)
        return self._changed(
            back.values(
                state=VideoState.QUEUED,
                started=None,
                frames_done=0,
                attempts=VIDEOS.c.attempts - 1,
            )
        )

    def recover(self, now: float, max_attempts: int, problem: Mapping[str, Any]) -> None:
        """Take back what a dead process left running: queued again, or failed with ``problem``
        where it was begun ``max_attempts`` times (a video that kills the server)."""
        left = _moved(VideoState.RUNNING)
        with self._database.begin() as connection:
            connection.execute(
                left.where(VIDEOS.c.attempts >= max_attempts).values(
                    state=VideoState.FAILED, ended=now, problem=problem
                )
            )
            connection.execute(left.values(state=VideoState.QUEUED, started=None, frames_done=0))

    def remove(self, video: str) -> bool:
        """Forget a video that ended. False when it is active or unknown."""
        return self._changed(
            VIDEOS.delete().where(VIDEOS.c.id == video, VIDEOS.c.state.not_in(ACTIVE))
        )

    def _one(self, statement: sql.Executable) -> VideoRecord | None:
        with self._database.begin() as connection:
            row = connection.execute(statement).mappings().first()
        return None if row is None else _from_row(row)

    def _changed(self, statement: sql.Update | sql.Delete) -> bool:
        with self._database.begin() as connection:
            return connection.execute(statement).rowcount == 1


def _moved(*states: VideoState) -> sql.Update:
    return VIDEOS.update().where(VIDEOS.c.state.in_(states))


def _count(connection: sql.Connection, state: VideoState) -> int:
    counted = sql.select(sql.func.count()).where(VIDEOS.c.state == state)
    return connection.scalar(counted) or 0


def _to_row(record: VideoRecord) -> dict[str, Any]:
    row = {column.name: getattr(record, column.name) for column in VIDEOS.c}
    row["info"] = record.info.to_dict()
    row["artefacts"] = list(record.artefacts)
    row["losses"] = None if record.losses is None else asdict(record.losses)
    return row


def _from_row(row: Mapping[Any, Any]) -> VideoRecord:
    values = dict(row)
    values["info"] = VideoInfo.from_dict(values["info"])
    values["losses"] = None if values["losses"] is None else Losses(**values["losses"])
    values["artefacts"] = tuple(values["artefacts"])
    values["state"] = VideoState(values["state"])
    return VideoRecord(**values)
