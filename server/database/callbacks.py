"""The durable rows of callbacks: the addresses to call when a video has ended, sealed.

A row is added with its video and removed when the call has succeeded or is given up, so that no
call is lost in between.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
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
        """Return the callbacks of ended videos that are due, the longest due first. One whose
        address cannot be read, because the server's secret has changed, is removed."""
        chosen = (
            sql.select(CALLBACKS)
            .join(VIDEOS, VIDEOS.c.id == CALLBACKS.c.video)
            .where(self._mine, VIDEOS.c.state.not_in(ACTIVE), CALLBACKS.c.next_try <= now)
            .order_by(CALLBACKS.c.next_try)
            .limit(limit)
        )
        with self._database.begin() as connection:
            stored = [Callback(**row) for row in connection.execute(chosen).mappings()]
        return list(self._readable(stored))

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

    def _readable(self, stored: list[Callback]) -> Iterator[Callback]:
        for callback in stored:
            url = unsealed_callback(callback.url, self._seal)
            if url is not None:
                yield replace(callback, url=url)
            else:
                why = "the server's secret has changed"
                _log.warning("the callback of %s is given up: %s", callback.video, why)
                self.remove(callback.video)
