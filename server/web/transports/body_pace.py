"""How fast the bodies of one connection's requests are read. No clock and no socket."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from server.fair_pace import FairPace, body_cost
from server.web.access.auth import sender_of


@dataclass(slots=True, eq=False)
class BodyPace:
    """Charges the bytes of bodies to their clients, in addition to the messages of their sockets.

    ``fair`` decides which clients must wait for others, and ``held_back`` is called for each pause.
    Mutable state: the client that sent the last bytes, "" before the first. ``now`` is passed in.
    """

    fair: FairPace = field(default_factory=FairPace)
    held_back: Callable[[], None] = lambda: None
    _sender: str = ""

    def came(self, size: int, scope: Mapping[str, Any], now: float) -> None:
        """Record bytes of a body."""
        self._sender = sender_of(scope)
        self.fair.spend(self._sender, body_cost(size), now)

    def pause(self, now: float) -> float:
        """Return the seconds until more of the body may be read."""
        seconds = self.fair.wait(self._sender, now)
        if seconds > 0:
            self.held_back()
        return seconds
