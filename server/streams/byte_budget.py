"""The limit on the bytes that all streams together hold."""

from __future__ import annotations

from server.settings import TOTAL_BYTES


class ByteBudget:
    """How many bytes all streams together may hold.

    Mutable state: ``held``, the bytes that they hold now.
    """

    def __init__(self, limit: int = TOTAL_BYTES) -> None:
        self.limit = limit
        self.held = 0

    def __repr__(self) -> str:
        return f"<ByteBudget {self.held} of {self.limit} bytes>"

    @property
    def is_spent(self) -> bool:
        """Return whether the limit is reached."""
        return self.held >= self.limit
