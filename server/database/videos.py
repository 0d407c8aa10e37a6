"""The durable rows of uploaded videos.

Every change of state is one conditional UPDATE, so two callers never both succeed: a cancelled
video does not become running, and one that has ended stays as it is. Times are passed in, as
seconds since the epoch. A video belongs to the server that has its files, whose one process queues
again at its start the videos that an earlier one left running.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from server.database.connection import Database
from server.database.schema import CALLBACKS, PIECES, VIDEOS
from server.database.sealed_addresses import sealed_callback
from server.database.video_record import ACTIVE, Kept, VideoRecord, VideoState
from server.errors import Conflict, NoCapacity
from server.frame import Losses, VideoInfo
from server.security.sealing import Seal
from server.sinks.style import Style


class VideoRows:
    """Rows of the videos of one ``server``; any is found by its id or key, and listed.

    Synchronous; any thread may use it. Raises Fault if the database fails.
    """

    def __init__(self, database: Database, seal: Seal, server: str = "") -> None:
        self.database = database
        self.seal = seal
        self.server = server
        self._mine = VIDEOS.c.server == server

    def add(self, record: VideoRecord, max_queued: int, callback_url: str | None = None) -> None:
        """Store a new video of this server, and whom to call at its end.

        Raises NoCapacity if ``max_queued`` are queued, Conflict if its id or key is taken.
        """
        with self.database.begin() as connection:
            if self._count(connection, VideoState.QUEUED) >= max_queued:
                raise NoCapacity(f"{max_queued} videos are queued already: try again later.")
            try:
                connection.execute(
                    VIDEOS.insert().values(**_to_row(record) | {"server": self.server})
                )
                if callback_url is not None:
                    url = sealed_callback(callback_url, self.seal)
                    call = {"video": record.id, "url": url, "attempts": 0, "next_try": 0.0}
                    connection.execute(CALLBACKS.insert().values(**call))
            except IntegrityError as error:
                raise Conflict(
                    "Another upload with this Idempotency-Key came first: send it again to get "
                    "that video."
                ) from error

    def get(self, video: str) -> VideoRecord | None:
        return self._one(VIDEOS.select().where(VIDEOS.c.id == video))

    def by_key(self, key: str) -> VideoRecord | None:
        return self._one(VIDEOS.select().where(VIDEOS.c.key == key))

    def page(
        self, limit: int, before: str | None = None, owner: str | None = None
    ) -> list[VideoRecord]:
        """Return the ``limit`` newest videos, or the newest of those older than the id ``before``;
        only those of ``owner``, if it is given."""
        chosen = VIDEOS.select().order_by(VIDEOS.c.id.desc()).limit(limit)
        if before is not None:
            chosen = chosen.where(VIDEOS.c.id < before)
        if owner is not None:
            chosen = chosen.where(VIDEOS.c.owner == owner)
        with self.database.begin() as connection:
            return [_from_row(row) for row in connection.execute(chosen).mappings()]

    def count(self, state: VideoState) -> int:
        """Return how many videos of this server are in this state."""
        with self.database.begin() as connection:
            return self._count(connection, state)

    def count_of(self, owner: str) -> int:
        """Return how many videos of an owner wait or run, on all servers."""
        own = (VIDEOS.c.owner == owner) & VIDEOS.c.state.in_(ACTIVE)
        with self.database.begin() as connection:
            return connection.scalar(sql.select(sql.func.count()).where(own)) or 0

    def states(self) -> dict[str, VideoState]:
        """Return the state of every video of this server by its id."""
        with self.database.begin() as connection:
            rows = connection.execute(sql.select(VIDEOS.c.id, VIDEOS.c.state).where(self._mine))
            return {video: VideoState(state) for video, state in rows}

    def kept(self) -> list[Kept]:
        """Return every video of this server as quotas count it."""
        columns = (VIDEOS.c.id, VIDEOS.c.size, VIDEOS.c.stored, VIDEOS.c.ended)
        with self.database.begin() as connection:
            rows = connection.execute(sql.select(*columns).where(self._mine))
            return [
                Kept(video, size if ended is None else stored, ended)
                for video, size, stored, ended in rows
            ]

    def set_stored(self, video: str, nbytes: int) -> None:
        """Store how many bytes the files of a video hold."""
        self._changed(VIDEOS.update().where(VIDEOS.c.id == video).values(stored=nbytes))

    def claim(self, now: float) -> VideoRecord | None:
        """Mark the oldest queued video of this server as running and return it; None if none is
        queued."""
        oldest = (
            sql.select(VIDEOS.c.id)
            .where(VIDEOS.c.state == VideoState.QUEUED, self._mine)
            .order_by(VIDEOS.c.id)
            .limit(1)
            # Otherwise PostgreSQL makes a second claim wait for this one and then find nothing.
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        begun = (
            _moved(VideoState.QUEUED)
            .where(VIDEOS.c.id == oldest)
            .values(state=VideoState.RUNNING, started=now, attempts=VIDEOS.c.attempts + 1)
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
        stored: int = 0,
    ) -> bool:
        """Mark a running video as succeeded or failed; return False if it is no longer running."""
        ended = _moved(VideoState.RUNNING).where(VIDEOS.c.id == video)
        return self._changed(
            ended.values(
                state=state,
                ended=now,
                frames_done=frames_done,
                problem=problem,
                losses=None if losses is None else asdict(losses),
                stored=stored,
            ),
            PIECES.delete().where(PIECES.c.video == video),
        )

    def cancel(self, video: str, now: float, frames_done: int = 0) -> bool:
        """Mark a queued or running video as cancelled; return False if it is neither."""
        ended = _moved(*ACTIVE).where(VIDEOS.c.id == video)
        return self._changed(
            ended.values(state=VideoState.CANCELLED, ended=now, frames_done=frames_done),
            PIECES.delete().where(PIECES.c.video == video),
        )

    def release(self, video: str) -> bool:
        """Put a running video back into the queue as if it had not been started, except for its
        finished pieces; return False if it is not running."""
        back = _moved(VideoState.RUNNING).where(VIDEOS.c.id == video)
        return self._changed(
            back.values(state=VideoState.QUEUED, started=None, attempts=VIDEOS.c.attempts - 1)
        )

    def release_others(self, running: Collection[str]) -> list[str]:
        """Put those videos of this server back into the queue that are marked as running and are
        not among ``running``; return their ids."""
        stray = _moved(VideoState.RUNNING).where(self._mine, VIDEOS.c.id.not_in(running))
        back = stray.values(state=VideoState.QUEUED, started=None, attempts=VIDEOS.c.attempts - 1)
        with self.database.begin() as connection:
            return list(connection.scalars(back.returning(VIDEOS.c.id)))

    def recover(self, now: float, max_attempts: int, problem: Mapping[str, Any]) -> None:
        """Queue again the videos that a dead process of this server left running, and take those
        of versions that did not store whose they are.

        Those started ``max_attempts`` times fail with ``problem``: they may be what kills the
        server.
        """
        left = _moved(VideoState.RUNNING).where(self._mine)
        with self.database.begin() as connection:
            nobodys = VIDEOS.update().where(VIDEOS.c.server == "")
            connection.execute(nobodys.values(server=self.server))
            connection.execute(
                left.where(VIDEOS.c.attempts >= max_attempts).values(
                    state=VideoState.FAILED, ended=now, problem=problem
                )
            )
            connection.execute(left.values(state=VideoState.QUEUED, started=None))
            active = sql.select(VIDEOS.c.id).where(VIDEOS.c.state.in_(ACTIVE))
            connection.execute(PIECES.delete().where(PIECES.c.video.not_in(active)))

    def remove(self, video: str) -> bool:
        """Remove a video that has ended; return False if it is active or unknown."""
        return self._changed(
            VIDEOS.delete().where(VIDEOS.c.id == video, VIDEOS.c.state.not_in(ACTIVE))
        )

    def _count(self, connection: sql.Connection, state: VideoState) -> int:
        counted = sql.select(sql.func.count()).where(VIDEOS.c.state == state, self._mine)
        return connection.scalar(counted) or 0

    def _one(self, statement: sql.Executable) -> VideoRecord | None:
        with self.database.begin() as connection:
            row = connection.execute(statement).mappings().first()
        return None if row is None else _from_row(row)

    def _changed(self, statement: sql.Update | sql.Delete, then: sql.Delete | None = None) -> bool:
        """Return whether a row was changed; ``then`` follows only if so."""
        with self.database.begin() as connection:
            changed = connection.execute(statement).rowcount == 1
            if changed and then is not None:
                connection.execute(then)
            return changed


def _moved(*states: VideoState) -> sql.Update:
    return VIDEOS.update().where(VIDEOS.c.state.in_(states))


def _to_row(record: VideoRecord) -> dict[str, Any]:
    row = {column.name: getattr(record, column.name) for column in VIDEOS.c}
    row["info"] = record.info.to_dict()
    row["artefacts"] = list(record.artefacts)
    row["losses"] = None if record.losses is None else asdict(record.losses)
    row["style"] = record.style.to_dict()
    return row


def _from_row(row: Mapping[Any, Any]) -> VideoRecord:
    values = dict(row)
    values["info"] = VideoInfo.from_dict(values["info"])
    values["losses"] = None if values["losses"] is None else Losses(**values["losses"])
    values["artefacts"] = tuple(values["artefacts"])
    values["style"] = Style.from_dict(values["style"])
    values["state"] = VideoState(values["state"])
    return VideoRecord(**values)
