"""The durable rows of uploaded videos.

Every change of state is one conditional UPDATE, so two callers never both succeed: a cancelled
video does not become running, and one that has ended stays as it is. Times are passed in, as
seconds since the epoch. A video belongs to the folder that has its files, which one server uses, or
several share. The rows of its pieces say which servers work on it; only a holder of one of these
may end it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from server.database.connection import Database
from server.database.piece_statements import (
    WHOLE,
    Held,
    PieceState,
    is_free,
    is_held,
    is_kept,
    lock,
    lock_all,
    missing_wholes,
    untouched,
    whole,
)
from server.database.schema import CALLBACKS, PIECES, VIDEOS
from server.database.sealed_addresses import sealed_callback
from server.database.video_record import ACTIVE, Kept, Standing, VideoRecord, VideoState
from server.database.video_statements import (
    at_least,
    ended_now,
    from_row,
    is_worked_on,
    moved,
    number_of,
    queued_again,
    to_row,
    worked,
)
from server.errors import Conflict, NoCapacity
from server.frame import Losses
from server.security.sealing import Seal


class VideoRows:
    """Rows of the videos in one folder, by default that of the ``server``; videos of other folders
    can also be listed, and found by id or key.

    Synchronous; any thread may use it. Raises Fault if the database fails.
    """

    def __init__(
        self, database: Database, seal: Seal, server: str = "", folder: str | None = None
    ) -> None:
        self.database = database
        self.seal = seal
        self.server = server
        self.folder = server if folder is None else folder
        self._mine = VIDEOS.c.server == self.folder

    def add(self, record: VideoRecord, max_queued: int, callback_url: str | None = None) -> None:
        """Store a new video of this folder, and the address to call at its end.

        Raises NoCapacity if ``max_queued`` are queued, Conflict if its id or key is taken.
        """
        with self.database.begin() as connection:
            if self._count(connection, VideoState.QUEUED) >= max_queued:
                raise NoCapacity(f"{max_queued} videos are queued already: try again later.")
            try:
                connection.execute(
                    VIDEOS.insert().values(**to_row(record) | {"server": self.folder})
                )
                connection.execute(whole(record.id))
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
            return [from_row(row) for row in connection.execute(chosen).mappings()]

    def count(self, state: VideoState) -> int:
        """Return how many videos of this folder are in this state."""
        with self.database.begin() as connection:
            return self._count(connection, state)

    def count_of(self, owner: str) -> int:
        """Return how many videos of an owner wait or run, on all servers."""
        own = (VIDEOS.c.owner == owner) & VIDEOS.c.state.in_(ACTIVE)
        with self.database.begin() as connection:
            return connection.scalar(sql.select(sql.func.count()).where(own)) or 0

    def states(self) -> dict[str, VideoState]:
        """Return the state of every video of this folder by its id."""
        with self.database.begin() as connection:
            rows = connection.execute(sql.select(VIDEOS.c.id, VIDEOS.c.state).where(self._mine))
            return {video: VideoState(state) for video, state in rows}

    def kept(self) -> list[Kept]:
        """Return every video of this folder as quotas count it."""
        columns = (
            VIDEOS.c.id,
            VIDEOS.c.size,
            VIDEOS.c.stored,
            VIDEOS.c.ended,
            VIDEOS.c.results,
        )
        with self.database.begin() as connection:
            rows = connection.execute(sql.select(*columns).where(self._mine))
            return [
                Kept(video, size if ended is None else stored, ended, results)
                for video, size, stored, ended, results in rows
            ]

    def set_stored(self, video: str, nbytes: int) -> None:
        """Store how many bytes the files of a video hold."""
        changed = VIDEOS.update().where(VIDEOS.c.id == video)
        with self.database.begin() as connection:
            connection.execute(changed.values(stored=nbytes))

    def standings(self, video: str | None = None) -> list[Standing]:
        """Return the remaining work for the videos of this folder that have not ended, the oldest
        first, or for one of them."""
        part = PIECES.c.number != WHOLE
        counts = (
            number_of(sql.not_(part), is_free()),
            number_of(part, is_free()),
            number_of(part, is_held()),
            number_of(part, PIECES.c.state == PieceState.DONE),
            number_of(part),
            untouched(),
        )
        active = sql.and_(VIDEOS.c.state.in_(ACTIVE), self._mine)
        if video is not None:
            active = sql.and_(active, VIDEOS.c.id == video)
        chosen = (
            sql.select(VIDEOS.c.id, VIDEOS.c.planned_for, *counts)
            .join(PIECES, PIECES.c.video == VIDEOS.c.id)
            .where(active)
            .group_by(VIDEOS.c.id, VIDEOS.c.planned_for)
            .order_by(VIDEOS.c.id)
        )
        with self.database.begin() as connection:
            return [
                Standing(found, planned, bool(is_whole_free), *numbers)
                for found, planned, is_whole_free, *numbers in connection.execute(chosen)
            ]

    def begin(self, video: str, now: float, *, anew: bool) -> VideoRecord | None:
        """Mark a video as running and return it; None if it has ended. ``anew``: nobody works on
        it, so its time counts from ``now`` on."""
        waited = VIDEOS.c.state == VideoState.QUEUED
        is_new, attempts = sql.true() if anew else waited, VIDEOS.c.attempts
        begun = (
            moved(*ACTIVE)
            .where(VIDEOS.c.id == video)
            .values(
                state=VideoState.RUNNING,
                attempts=sql.case((waited, attempts + 1), else_=attempts),
                started=sql.case((is_new, now), else_=VIDEOS.c.started),
                spent=sql.case((is_new, worked()), else_=VIDEOS.c.spent),
                progressed=sql.case((is_new, None), else_=VIDEOS.c.progressed),
            )
        )
        return self._one(begun.returning(*VIDEOS.c))

    def finish(
        self,
        by: Held,
        state: VideoState,
        now: float,
        frames_done: int,
        problem: Mapping[str, Any] | None = None,
        losses: Losses | None = None,
        stored: int = 0,
        results: str = "results",
    ) -> bool:
        """Mark a video as succeeded or failed; return False if it has ended, or if the caller has
        lost the row that it holds (``by``): the whole video or a piece.

        Of a video that failed, at least ``frames_done`` frames were done: other servers may have
        reported more.
        """
        ended = moved(*ACTIVE).where(VIDEOS.c.id == by.video)
        is_complete = state is VideoState.SUCCEEDED
        values = {
            "state": state,
            "ended": now,
            "frames_done": frames_done if is_complete else at_least(frames_done),
            "problem": problem,
            "losses": None if losses is None else asdict(losses),
            "stored": stored,
            "results": results,
        }
        with self.database.begin() as connection:
            if not is_kept(connection, by):
                return False
            return ended_now(connection, by.video, ended.values(**values))

    def cancel(self, video: str, now: float, frames_done: int = 0) -> bool:
        """Mark a queued or running video as cancelled; return False if it is neither. At least
        ``frames_done`` of its frames were done."""
        ended = moved(*ACTIVE).where(VIDEOS.c.id == video)
        frames = at_least(frames_done)
        with self.database.begin() as connection:
            lock_all(connection, video)
            cancelled = ended.values(state=VideoState.CANCELLED, ended=now, frames_done=frames)
            return ended_now(connection, video, cancelled)

    def release(self, video: str) -> bool:
        """Put a running video back into the queue as if it had not been started, except for its
        finished pieces; return False if it is not running or somebody works on it."""
        back = moved(VideoState.RUNNING).where(VIDEOS.c.id == video, sql.not_(is_worked_on()))
        with self.database.begin() as connection:
            # Somebody may be taking a piece at this moment.
            lock_all(connection, video)
            released = back.values(queued_again() | {"attempts": VIDEOS.c.attempts - 1})
            return connection.execute(released).rowcount == 1

    def requeue(self) -> None:
        """Queue running videos again on which nobody works, take over those of versions that did
        not store the server, and add the rows that older versions do not add."""
        is_running = sql.and_(VIDEOS.c.state == VideoState.RUNNING, self._mine)
        left = VIDEOS.update().where(is_running, sql.not_(is_worked_on()))
        with self.database.begin() as connection:
            # Somebody may be taking a piece at this moment.
            lock(connection, PIECES.c.video.in_(sql.select(VIDEOS.c.id).where(is_running)))
            nobodys = VIDEOS.update().where(VIDEOS.c.server == "")
            connection.execute(nobodys.values(server=self.server))
            connection.execute(left.values(queued_again()))
            connection.execute(missing_wholes(self._mine))
            active = sql.select(VIDEOS.c.id).where(VIDEOS.c.state.in_(ACTIVE))
            connection.execute(PIECES.delete().where(PIECES.c.video.not_in(active)))

    def remove(self, video: str) -> bool:
        """Remove a video that has ended; return False if it is active or unknown."""
        gone = VIDEOS.delete().where(VIDEOS.c.id == video, VIDEOS.c.state.not_in(ACTIVE))
        with self.database.begin() as connection:
            return connection.execute(gone).rowcount == 1

    def _count(self, connection: sql.Connection, state: VideoState) -> int:
        counted = sql.select(sql.func.count()).where(VIDEOS.c.state == state, self._mine)
        return connection.scalar(counted) or 0

    def _one(self, statement: sql.Executable) -> VideoRecord | None:
        with self.database.begin() as connection:
            row = connection.execute(statement).mappings().first()
        return None if row is None else from_row(row)
