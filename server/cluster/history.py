"""Recent changes in the cluster, which this server found by comparing each observation with the
previous one.

A change that is undone between two observations is not seen.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["server", "stream"]

KEPT = 100
"""Maximum number of changes of one kind that are kept."""


@dataclass(frozen=True, slots=True)
class Condition:
    """The condition of a server or stream: a word, and the server that has it, None if no server
    has it."""

    what: str
    server: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A change at ``at``, in seconds since 1970; ``kind`` is server or stream."""

    at: float
    kind: Kind
    name: str
    now_is: Condition


class History:
    """The last changes of one kind. ``gone`` is the word for an object that has disappeared.

    Mutable state: the changes, and all conditions at the last observation, None before the first.
    """

    def __init__(self, kind: Kind, gone: str, wall: Callable[[], float] = time.time) -> None:
        self.changes: deque[Change] = deque(maxlen=KEPT)
        self._kind, self._gone, self._wall = kind, Condition(gone), wall
        self._last: dict[str, Condition] | None = None

    def __repr__(self) -> str:
        return f"<History of {self._kind}s: {len(self.changes)}>"

    def look(self, now_is: Mapping[str, Condition]) -> None:
        """Record the differences from the last observation; the first one has none."""
        if self._last is not None:
            for name, one in _different(self._last, now_is, self._gone):
                self.changes.append(Change(self._wall(), self._kind, name, one))
        self._last = dict(now_is)


def _different(
    before: Mapping[str, Condition], now: Mapping[str, Condition], gone: Condition
) -> Iterator[tuple[str, Condition]]:
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            yield name, now.get(name, gone)
