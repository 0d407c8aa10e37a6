"""Rows of videos with a database of their own."""

from __future__ import annotations

from server.database.connection import Database
from server.database.videos import VideoRows
from server.security.sealing import Seal

SEAL = Seal(lambda: b"a secret of a server in tests")


class OwnRows(VideoRows):
    """Opens the database at ``url``; :meth:`close` closes it."""

    def __init__(self, url: str) -> None:
        super().__init__(Database(url), SEAL)

    def close(self) -> None:
        self.database.close()
