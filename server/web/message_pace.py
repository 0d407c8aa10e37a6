"""When the next message of one stream's client may be read."""

from __future__ import annotations

from collections.abc import Callable

from server.admission import Pace
from server.fair_pace import FairPace, reading_cost
from server.web.transports.allowance import (
    MESSAGES_A_SECOND,
    MESSAGES_AT_ONCE,
    Allowance,
    small_cost,
)


class MessagePace:
    """Holds one connection to three limits: of small messages, of its client's bytes, and of its
    client's share of the event loop while that is late. The last one is reported to ``held_back``.

    Mutable state: the allowance of small messages. ``now`` is passed in.
    """

    def __init__(
        self, client: str, pace: Pace, fair: FairPace, held_back: Callable[[], None], now: float
    ) -> None:
        self._client = client
        self._pace = pace
        self._fair = fair
        self._held_back = held_back
        self._allowance = Allowance(MESSAGES_A_SECOND, MESSAGES_AT_ONCE, now)

    def __repr__(self) -> str:
        return f"<MessagePace of {self._client!r} {self._allowance!r}>"

    def spend(self, size: int, now: float) -> None:
        """Record that a message of ``size`` bytes was read."""
        self._allowance.spend(small_cost(size), now)
        self._pace.spend(self._client, size, now)
        self._fair.spend(self._client, reading_cost(size), now)

    def wait(self, now: float) -> float:
        """Return the seconds until the next message may be read, as far as is known now."""
        fair = self._fair.wait(self._client, now)
        if fair > 0:
            self._held_back()
        fixed = self._pace.spend(self._client, 0, now)
        return max(fair, fixed, self._allowance.spend(0, now))
