"""Which request may write an upload: the newest one, since older ones are probably dead."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from server.errors import Draining, MastreamError, TakenOver


class Turn:
    """One request's turn to write. Mutable state: the reason why it should end, None if it need
    not."""

    def __init__(self) -> None:
        self._stopped = asyncio.Event()
        self.reason: MastreamError | None = None

    def stop(self, reason: MastreamError) -> None:
        """Ask the request to end its turn."""
        self.reason = self.reason or reason
        self._stopped.set()

    async def stopped(self) -> MastreamError:
        """Wait until the turn should end; return the reason."""
        await self._stopped.wait()
        assert self.reason is not None
        return self.reason


class UploadTurns:
    """Gives each upload to one request at a time.

    Mutable state: for each upload in use a lock, how many requests use it or wait for it, and the
    current turn.
    """

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: Counter[str] = Counter()
        self._turns: dict[str, Turn] = {}
        self._draining = False

    def __repr__(self) -> str:
        return f"<UploadTurns {dict(self._users)}>"

    @asynccontextmanager
    async def take(self, upload: str) -> AsyncIterator[Turn]:
        """Ask the request whose turn it is to end it, wait until it has ended, and begin a turn."""
        lock = self._locks.setdefault(upload, asyncio.Lock())
        self._users[upload] += 1
        if upload in self._turns:
            self._turns[upload].stop(_taken_over())
        try:
            async with lock:
                yield self._begin(upload)
        finally:
            self._leave(upload)

    def drain(self) -> None:
        """Ask all requests to end their turns, including later ones. Idempotent."""
        self._draining = True
        for turn in self._turns.values():
            turn.stop(_draining())

    def _begin(self, upload: str) -> Turn:
        turn = self._turns[upload] = Turn()
        if self._users[upload] > 1:
            turn.stop(_taken_over())
        if self._draining:
            turn.stop(_draining())
        return turn

    def _leave(self, upload: str) -> None:
        self._users[upload] -= 1
        if not self._users[upload]:
            del self._users[upload], self._locks[upload]
            self._turns.pop(upload, None)


def _taken_over() -> TakenOver:
    return TakenOver("A newer request continues this upload: send no more on this one.")


def _draining() -> Draining:
    return Draining("The server is shutting down: continue the upload in a minute.")
