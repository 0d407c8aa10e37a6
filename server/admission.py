"""Admission: limits for one client and for all together. Requests beyond a limit are refused at
once, never queued.

A client is an API key or, if none is required, an address.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from server.errors import NoCapacity, TooMany

MAX_CLIENTS = 10_000
"""Number of clients whose rates are remembered; the one that has been idle for the longest is
forgotten first."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How many ``what`` one client (``each``) and all together (``total``) may have; None: no
    limit."""

    what: str
    each: int | None = None
    total: int | None = None

    def check(self, own: int, taken: int) -> None:
        """Admit one more to a client that has ``own`` of the ``taken``.

        Raises TooMany at the client's own limit, and NoCapacity at the total limit.
        """
        if self.each is not None and own >= self.each:
            raise TooMany(
                f"You have {own} {self.what} and may have {self.each}: end one, or try again later."
            ).with_numbers(used=own, limit=self.each)
        if self.total is not None and taken >= self.total:
            raise NoCapacity(
                f"All {self.total} {self.what} are taken; try again later."
            ).with_numbers(used=taken, limit=self.total)


@dataclass(slots=True)
class Places:
    """Counts how many of something each client holds. Mutable state: the counts."""

    limit: Limit
    _held: Counter[str] = field(default_factory=Counter)

    def check(self, client: str) -> None:
        """Raise TooMany or NoCapacity unless a client may have one more."""
        self.limit.check(self._held[client], self.used)

    @contextmanager
    def hold(self, client: str) -> Iterator[None]:
        """Count one more for a client during the block; call :meth:`check` first."""
        self._held[client] += 1
        try:
            yield
        finally:
            self._held[client] -= 1
            if not self._held[client]:
                del self._held[client]

    @contextmanager
    def take(self, client: str) -> Iterator[None]:
        """Check, then count one more for a client during the block. Raises as :meth:`check`."""
        self.check(client)
        with self.hold(client):
            yield

    @property
    def used(self) -> int:
        return self._held.total()

    def used_by(self, client: str) -> int:
        return self._held[client]


@dataclass(slots=True)
class Rate:
    """How much of something one client, and all together, may send per second; at most one second's
    worth at once.

    Mutable state: what is left for each client and for all together (under ""), with the time of
    the last spending. ``now`` is passed in.
    """

    what: str
    each: int | None = None
    total: int | None = None
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def spend(self, client: str, amount: int, now: float) -> None:
        """Spend an amount. Raises TooMany or NoCapacity if it came too soon; then nothing is spent.
        An amount of more than a second's worth is admitted if a full second's worth is left."""
        own, shared = self._earned(client, self.each, now), self._earned("", self.total, now)
        if self.each is not None and own < min(amount, self.each):
            raise TooMany(
                f"You may send {self.each} {self.what} per second: send fewer."
            ).with_numbers(used=amount, limit=self.each)
        if self.total is not None and shared < min(amount, self.total):
            raise NoCapacity(
                f"All clients together may send {self.total} {self.what} per second: send fewer."
            ).with_numbers(used=amount, limit=self.total)
        self._keep(client, self.each, own - amount, now)
        self._keep("", self.total, shared - amount, now)

    def _earned(self, client: str, rate: int | None, now: float) -> float:
        if rate is None:
            return 0.0
        left, at = self._left.get(client, (float(rate), now))
        return min(float(rate), left + (now - at) * rate)

    def _keep(self, client: str, rate: int | None, left: float, now: float) -> None:
        if rate is None:
            return
        self._left.pop(client, None)
        self._left[client] = left, now
        if len(self._left) > MAX_CLIENTS:
            del self._left[next(iter(self._left))]


@dataclass(slots=True)
class Pace:
    """How many bytes per second the server reads from one client. If a client sends more, they are
    read later, so that its own connection holds it back. Nothing is lost.

    Mutable state: what each client may still send at once, below 0 if it has sent too much, and the
    time of the last reading. ``now`` is passed in.
    """

    each: int | None = None
    _left: dict[str, tuple[float, float]] = field(default_factory=dict)

    def spend(self, client: str, amount: int, now: float) -> float:
        """Record bytes that were read; return the seconds until more may be read."""
        if self.each is None:
            return 0.0
        left, at = self._left.pop(client, (float(self.each), now))
        left = min(float(self.each), left + (now - at) * self.each) - amount
        self._left[client] = left, now
        if len(self._left) > MAX_CLIENTS:
            del self._left[next(iter(self._left))]
        return max(0.0, -left / self.each)
