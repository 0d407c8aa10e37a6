"""The limit on the bytes that all streams together hold."""

from __future__ import annotations

from collections.abc import Callable

from server.settings import TOTAL_BYTES


class ByteBudget:
    """How many bytes all streams together may hold.

    ``others`` returns the bytes that other parts hold for them. Mutable state: ``held``, the bytes
    that they hold themselves.
    """

    def __init__(self, limit: int = TOTAL_BYTES, others: Callable[[], int] = lambda: 0) -> None:
        self.limit = limit
        self.held = 0
        self._others = others

    def __repr__(self) -> str:
        return f"<ByteBudget {self.total} of {self.limit} bytes>"

    @property
    def total(self) -> int:
        """Return the bytes that count against the limit."""
        return self.held + self._others()

    @property
    def is_spent(self) -> bool:
        """Return whether the limit is reached."""
        return self.total >= self.limit

    @property
    def is_exceeded(self) -> bool:
        """Return whether more than the limit is held."""
        return self.total > self.limit
