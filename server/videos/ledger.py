"""Which lane or server has which piece of a video: the contract, and a ledger that lasts as long as
its process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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
    """A finished piece: the folder of its files, and the results of decoding it."""

    number: int
    folder: str
    frames: int
    losses: Losses


def newest_attempt(folder: Path, number: int) -> Path:
    """Return the folder of a piece's last attempt, in the ``folder`` of all; it may not exist."""
    none = folder / f"{number:05d}.e0"
    return max(_attempts(folder, number), key=_epoch, default=none)


def older_attempts(folder: Path, taken: Taken) -> list[Path]:
    """Return the folders of a piece's earlier attempts, the oldest first; they are no longer
    needed."""
    found = sorted(_attempts(folder, taken.piece.number), key=_epoch)
    return [path for path in found if _epoch(path) < taken.epoch]


def attempts(folder: Path) -> list[Path]:
    """Return the folders of all attempts of all pieces."""
    return list(folder.glob("*.e*"))


def _attempts(folder: Path, number: int) -> list[Path]:
    return list(folder.glob(f"{number:05d}.e*"))


def _epoch(attempt: Path) -> int:
    return int(attempt.name.rpartition("e")[2])


class Terms(NamedTuple):
    """For how many seconds a piece is leased, and how often the lease is renewed.

    A video that was planned by servers with another model or other settings is planned again after
    nobody has segmented it for ``patience`` seconds. For ``rest`` seconds after a failure, a server
    leaves the video to others.
    """

    lease: float
    renew: float
    patience: float = 0.0
    rest: float = 0.0


ALONE = Terms(30.0, 10.0)
"""The terms of a server that does not share its videos: nobody waits for its leases."""

SHARED = Terms(10.0, 2.0, patience=10.0, rest=60.0)
"""The terms of servers that share a folder of videos."""


class Ledger(ABC):
    """The pieces of one video."""

    terms: Terms = ALONE

    max_failures: int
    """How often a piece may fail before its video does."""

    @abstractmethod
    async def take(self, after: int | None = None) -> Taken | None:
        """Take the next piece for a lane that has just finished piece ``after``; return None if
        none is free."""

    @abstractmethod
    async def renew(self, taken: Taken, frames: int) -> bool:
        """Keep a piece of which ``frames`` are done; return False if it was lost."""

    @abstractmethod
    async def finish(self, taken: Taken, frames: int, losses: Losses) -> bool:
        """Record that the files of a piece are complete; return False if it was lost."""

    @abstractmethod
    async def fail(self, taken: Taken) -> int:
        """Count a failure of a piece, which stays taken; return how often it has failed so far, 0
        if it was lost."""

    @abstractmethod
    async def release(self, taken: Taken) -> None:
        """Let any lane take a piece again."""

    def give_up(self, taken: Taken) -> None:  # noqa: B027  nobody else can begin it
        """Record that a piece ends its video: it stays taken, so that nobody else starts it."""

    def rest(self) -> None:  # noqa: B027  nobody else can take them
        """Record that a piece has failed here: if others may take pieces, this server takes no
        more, since it may be the cause."""

    @abstractmethod
    async def finished(self) -> list[Finished]:
        """Return the pieces that are done, in order."""

    @abstractmethod
    async def any_free(self) -> bool:
        """Return whether a piece can be taken."""


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

    async def renew(self, taken: Taken, frames: int) -> bool:  # noqa: ARG002  nobody asks for it
        return taken.piece.number in self._taken

    async def finish(self, taken: Taken, frames: int, losses: Losses) -> bool:
        number = taken.piece.number
        self._taken.discard(number)
        self._done[number] = Finished(number, taken.folder, frames, losses)
        return True

    async def fail(self, taken: Taken) -> int:
        self._failures[taken.piece.number] += 1
        return self._failures[taken.piece.number]

    async def release(self, taken: Taken) -> None:
        self._taken.discard(taken.piece.number)

    async def finished(self) -> list[Finished]:
        return [self._done[number] for number in sorted(self._done)]

    async def any_free(self) -> bool:
        return len(self._done) + len(self._taken) < len(self._pieces)
