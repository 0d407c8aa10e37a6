"""The durable rows of callbacks: the addresses to call when a video has ended, sealed.

A row is added with its video and removed when the call has succeeded or is given up, so that no
call is lost in between.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace

import sqlalchemy as sql

from server.database.connection import Database
from server.database.schema import CALLBACKS, VIDEOS
from server.database.sealed_addresses import (
    is_sealed_callback,
    sealed_callback,
    unsealed_callback,
)
from server.database.video_record import ACTIVE
from server.security.sealing import Seal

UNREADABLE_SECONDS = 24 * 3600.0
"""For how many seconds after the end of its video a callback is left to other servers; nobody calls
it after that."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Callback:
    """One address to call. ``attempts`` have failed; the next one is due at ``next_try``, in
    seconds since the epoch, once the video has ended."""

    video: str
    url: str = field(repr=False)
    attempts: int = 0
    next_try: float = 0.0


class CallbackRows:
    """Rows of callbacks about the videos of one ``folder``.

    Synchronous; any thread may use it. Raises Fault if the database fails.
    """

    def __init__(self, database: Database, seal: Seal, folder: str = "") -> None:
        self._database = database
        self._seal = seal
        self._mine = VIDEOS.c.server == folder

    def due(self, now: float, limit: int) -> list[Callback]:
        """Return the callbacks of ended videos that are due, the longest due first.

        One whose address this server cannot read, because it was sealed with another secret, is
        left to others; it is removed when no server would call it any more.
        """
        chosen = (
            sql.select(CALLBACKS, VIDEOS.c.ended)
            .join(VIDEOS, VIDEOS.c.id == CALLBACKS.c.video)
            .where(self._mine, VIDEOS.c.state.not_in(ACTIVE), CALLBACKS.c.next_try <= now)
            .order_by(CALLBACKS.c.next_try)
        )
        found: list[Callback] = []
        with self._database.begin() as connection:
            rows = connection.execute(chosen).all()
        for *stored, ended in rows:
            if (callback := self._read(Callback(*stored))) is not None:
                found.append(callback)
            elif now - ended > UNREADABLE_SECONDS:
                self._give_up(stored[0])
            if len(found) == limit:
                break
        return found

    def take(self, callback: Callback, until: float) -> bool:
        """Reserve a callback ``until`` a time, in seconds since the epoch; return False if another
        server was faster, or the callback was removed."""
        mine = CALLBACKS.c.video == callback.video, CALLBACKS.c.next_try == callback.next_try
        with self._database.begin() as connection:
            taken = CALLBACKS.update().where(*mine).values(next_try=until)
            return connection.execute(taken).rowcount == 1

    def seal_all(self) -> None:
        """Seal the addresses of rows that older versions wrote."""
        with self._database.begin() as connection:
            for video, url in connection.execute(sql.select(CALLBACKS.c.video, CALLBACKS.c.url)):
                if not is_sealed_callback(url):
                    changed = CALLBACKS.update().where(CALLBACKS.c.video == video)
                    connection.execute(changed.values(url=sealed_callback(url, self._seal)))

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

    def _read(self, stored: Callback) -> Callback | None:
        url = unsealed_callback(stored.url, self._seal)
        return None if url is None else replace(stored, url=url)

    def _give_up(self, video: str) -> None:
        why = "it was sealed with another secret"
        _log.warning("the callback of %s is given up: %s", video, why)
        self.remove(video)
