"""Servers that share the pieces of one video, as far as the database goes: no video, no engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path

import sqlalchemy as sql
from own_rows import OwnRows

from server.database.pieces import PieceRows
from server.database.schema import PIECES
from server.database.video_record import Standing, VideoRecord
from server.frame import Losses, VideoInfo
from server.threads import ThreadRunner
from server.videos.durable_ledger import DurableLedger
from server.videos.lane import REACHED
from server.videos.ledger import Taken, Terms
from server.videos.pieces import Piece, Plan

VIDEO = "v"
INFO = VideoInfo(64, 48, 40, 1.6, Fraction(25), Fraction(1, 1000))
SIGNATURE = "the model of all"
TERMS = Terms(lease=1000.0, renew=1.0, patience=10.0, rest=60.0)
PIECES_OF_TEN = Plan(tuple(Piece(n, 10 * n, 10 * n + 9) for n in range(4)))


class Server:
    """One server with a connection and a thread of its own. ``became`` counts what became of pieces
    here, ``taken_over`` why pieces that others had begun were taken."""

    def __init__(self, url: str, folder: Path, name: str, signature: str, terms: Terms) -> None:
        self.store = OwnRows(url, name, "shared")
        self.rows = PieceRows(self.store.database)
        self.name, self.folder = name, folder
        self.became, self.taken_over = Counter[str](), Counter[str]()
        self.disk = ThreadRunner(f"videos-{name}")
        self.ledger = DurableLedger(
            self.rows,
            self.disk,
            VIDEO,
            name,
            signature,
            folder,
            terms,
            lambda: 7.0,
            lambda result: self.became.update([result]),
            lambda cause: self.taken_over.update([cause]),
        )

    async def plan(self, found: Plan = PIECES_OF_TEN) -> None:
        """Plan the video, let go of it, and follow the plan."""
        whole = await self.ledger.take_whole()
        await self.ledger.plan(self.ledger.held(whole), found, [()] * len(found.pieces))
        await self.ledger.release(whole)
        await self.ledger.follow()

    async def takes(self, after: int | None = None) -> Taken:
        """Take a piece and begin its files."""
        taken = await self.ledger.take(after)
        assert taken is not None, "no piece is free"
        self.writes(taken)
        return taken

    def writes(self, taken: Taken, frames: int = 3) -> Path:
        """Write so many frames of a piece."""
        folder = self.folder / taken.folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / REACHED).write_text(str(frames))
        return folder

    async def finishes(self, taken: Taken) -> None:
        assert await self.ledger.finish(taken, 10, Losses())

    def standing(self) -> Standing:
        (found,) = self.store.standings()
        return found

    def ages(self, seconds: float) -> None:
        """Let all leases, and all else that the database has a time of, be older."""
        with self.store.database.begin() as connection:
            connection.execute(PIECES.update().values(expires=PIECES.c.expires - seconds))

    def holders(self) -> dict[int, str | None]:
        """Return who has which piece, or had it last, by its number."""
        columns = sql.select(PIECES.c.number, PIECES.c.owner).where(PIECES.c.number >= 0)
        with self.store.database.begin() as connection:
            return {row.number: row.owner for row in connection.execute(columns)}


@asynccontextmanager
async def servers(
    url: str,
    folder: Path,
    *signatures: str,
    terms: Terms = TERMS,
) -> AsyncIterator[Sequence[Server]]:
    """Servers a, b and so on, on one database and one folder with one video, each with its
    signature."""
    all_of_them = [
        Server(url, folder, name, signature, terms)
        for name, signature in zip("abcdef", signatures, strict=False)
    ]
    all_of_them[0].store.add(VideoRecord(VIDEO, "clip", "fake", 6, INFO, ("masks.mkv",), "f"), 9)
    try:
        yield all_of_them
    finally:
        for one in all_of_them:
            await one.disk.close()
            one.store.close()
