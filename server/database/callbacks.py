"""The durable rows of callbacks: whom to call when a video has ended.

A row comes with its video and goes when the call has succeeded or is given up, so that no call is
lost in between.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sql

from server.database.connection import Database
from server.database.schema import CALLBACKS, VIDEOS
from server.database.video_record import ACTIVE


@dataclass(frozen=True, slots=True)
class Callback:
    """One address to call. ``attempts`` have failed; the next one is due at ``next_try``, in
    seconds since the epoch, once the video has ended."""

    video: str
    url: str
    attempts: int = 0
    next_try: float = 0.0


class CallbackRows:
    """Rows of callbacks about the videos of one ``server``.

    Synchronous; any thread may use it. Raises Fault if the database fails.
    """

    def __init__(self, database: Database, server: str = "") -> None:
        self._database = database
        self._mine = VIDEOS.c.server == server

    def due(self, now: float, limit: int) -> list[Callback]:
        """Return the callbacks of ended videos that are due, the longest due first."""
        chosen = (
            sql.select(CALLBACKS)
            .join(VIDEOS, VIDEOS.c.id == CALLBACKS.c.video)
            .where(self._mine, VIDEOS.c.state.not_in(ACTIVE), CALLBACKS.c.next_try <= now)
            .order_by(CALLBACKS.c.next_try)
            .limit(limit)
        )
        with self._database.begin() as connection:
            return [Callback(**row) for row in connection.execute(chosen).mappings()]

    def postpone(self, callback: Callback, next_try: float) -> None:
        """Store that an attempt has failed, and when the next one is due."""
        changed = CALLBACKS.update().where(CALLBACKS.c.video == callback.video)
        with self._database.begin() as connection:
            connection.execute(changed.values(attempts=callback.attempts + 1, next_try=next_try))

    def remove(self, video: str) -> None:
        """Remove the callback of a video."""
        with self._database.begin() as connection:
            connection.execute(CALLBACKS.delete().where(CALLBACKS.c.video == video))

    def remove_orphans(self) -> None:
        """Remove the callbacks of videos that were removed."""
        known = sql.select(VIDEOS.c.id)
        with self._database.begin() as connection:
            connection.execute(CALLBACKS.delete().where(CALLBACKS.c.video.not_in(known)))
