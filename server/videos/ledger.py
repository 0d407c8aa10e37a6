"""Which piece of a video is whose: the contract, and a ledger that lasts as long as its process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from server.frame import Losses
from server.videos.pieces import Piece, Plan, next_piece


@dataclass(frozen=True, slots=True)
class Taken:
    """A piece that a lane segments; no other piece, nor another attempt, has the same ``folder``.

    ``deaths`` counts how often in a row a server died in it, in the same place.
    """

    piece: Piece
    epoch: int
    deaths: int = 0

    @property
    def folder(self) -> str:
        """Return the name of the folder of its files."""
        return f"{self.piece.number:05d}.e{self.epoch}"


@dataclass(frozen=True, slots=True)
class Finished:
    """A piece that is done: the folder of its files, and what was found in it."""

    number: int
    folder: str
    frames: int
    losses: Losses


def newest_attempt(folder: Path, number: int) -> Path:
    """Return the folder of a piece's last attempt in the ``folder`` of all; there may be none."""
    found = folder.glob(f"{number:05d}.e*")
    none = folder / f"{number:05d}.e0"
    return max(found, key=lambda path: int(path.name.rpartition("e")[2]), default=none)


class Ledger(ABC):
    """The pieces of one video."""

    max_failures: int
    """How often a piece may fail before its video does."""

    @abstractmethod
    async def take(self, after: int | None = None) -> Taken | None:
        """Take the next piece for a lane that has just finished piece ``after``; None: none is
        free."""

    @abstractmethod
    async def renew(self, taken: Taken) -> bool:
        """Keep a piece; return False if it was lost."""

    @abstractmethod
    async def finish(self, taken: Taken, frames: int, losses: Losses) -> bool:
        """Record that the files of a piece are complete; return False if it was lost."""

    @abstractmethod
    async def release(self, taken: Taken, *, failed: bool) -> int:
        """Let any lane take a piece again; return how often it has ``failed`` so far."""

    @abstractmethod
    async def finished(self) -> list[Finished]:
        """Return the pieces that are done, in order."""

    @abstractmethod
    async def all_done(self) -> bool:
        """Return whether every piece is done."""


class MemoryLedger(Ledger):
    """The ledger of one process. Mutable state: the pieces taken and those that are done, how often
    each was taken and failed."""

    max_failures = 1

    def __init__(self, plan: Plan) -> None:
        self._pieces: Sequence[Piece] = plan.pieces
        self._taken: set[int] = set()
        self._done: dict[int, Finished] = {}
        self._epochs: Counter[int] = Counter()
        self._failures: Counter[int] = Counter()

    async def take(self, after: int | None = None) -> Taken | None:
        free = set(range(len(self._pieces))) - self._taken - set(self._done)
        number = next_piece(free, self._taken, after)
        if number is None:
            return None
        self._taken.add(number)
        self._epochs[number] += 1
        return Taken(self._pieces[number], self._epochs[number])

    async def renew(self, taken: Taken) -> bool:
        return taken.piece.number in self._taken

    async def finish(self, taken: Taken, frames: int, losses: Losses) -> bool:
        number = taken.piece.number
        self._taken.discard(number)
        self._done[number] = Finished(number, taken.folder, frames, losses)
        return True

    async def release(self, taken: Taken, *, failed: bool) -> int:
        number = taken.piece.number
        self._taken.discard(number)
        self._failures[number] += failed
        return self._failures[number]

    async def finished(self) -> list[Finished]:
        return [self._done[number] for number in sorted(self._done)]

    async def all_done(self) -> bool:
        return len(self._done) == len(self._pieces)
