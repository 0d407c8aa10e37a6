"""Tickets: single-use passes for sockets and images, because browsers cannot set their headers."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from server.errors import TooMany
from server.security.callers import Caller

TICKET_SECONDS = 30.0
MAX_TICKETS = 64
"""Maximum number of unused tickets of one caller."""


@dataclass(slots=True)
class Tickets:
    """Mutable state: the unused tickets, each with its caller and its end, oldest first. They are
    kept in memory: after a restart, clients request new ones."""

    _unused: dict[str, tuple[Caller, float]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._unused)

    def issue(self, caller: Caller, now: float) -> str:
        """Return a new ticket for a caller. Raises TooMany if it has too many unused ones."""
        self._forget(now)
        if sum(one.id == caller.id for one, _ in self._unused.values()) >= MAX_TICKETS:
            raise TooMany(f"You have {MAX_TICKETS} unused tickets: use them, or wait a moment.")
        ticket = secrets.token_urlsafe(32)
        self._unused[ticket] = caller, now + TICKET_SECONDS
        return ticket

    def redeem(self, ticket: str, now: float) -> Caller | None:
        """Return the caller of a ticket, which is used up, or None if it is not valid."""
        self._forget(now)
        caller, _ = self._unused.pop(ticket, (None, 0.0))
        return caller

    def _forget(self, now: float) -> None:
        """Remove expired tickets; all last equally long, so the oldest end first."""
        while self._unused:
            ticket, (_, ends) = next(iter(self._unused.items()))
            if ends > now:
                return
            del self._unused[ticket]
