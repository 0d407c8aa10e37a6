"""Rows of videos with their own database."""

from __future__ import annotations

from server.database.connection import Database
from server.database.piece_statements import WHOLE, Held
from server.database.pieces import PieceRows
from server.database.videos import VideoRows
from server.security.sealing import Seal

SEAL = Seal(lambda: b"a secret of a server in tests")


class OwnRows(VideoRows):
    """Opens the database at ``url``; :meth:`close` closes it."""

    def __init__(self, url: str, server: str = "", folder: str | None = None) -> None:
        super().__init__(Database(url), SEAL, server, folder)

    def begun(self, video: str, now: float = 2.0, owner: str = "me") -> Held:
        """Start a video, and take the work on the whole of it."""
        assert self.begin(video, now, anew=True) is not None
        row = PieceRows(self.database).take_whole(video, owner, 1000.0)
        assert row is not None
        return Held(video, WHOLE, row.epoch)

    def close(self) -> None:
        self.database.close()
