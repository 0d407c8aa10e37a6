"""A queue in which competing clients get items of equal total cost. Pure.

P. Goyal, H. Vin, H. Cheng: "Start-time fair queueing", IEEE/ACM Trans. Networking 5 (1997).
"""

from __future__ import annotations

import heapq
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Items of several clients, each with a cost; :meth:`pop` returns the one whose turn it is.

    An item's start tag is the larger of its client's last finish tag and the virtual time, which is
    the start tag of the item popped last; its finish tag is its cost more. So an idle client earns
    nothing, and a client with much work waits behind its own items. The items of one client stay in
    order; items of the client "", which stands for nobody in particular, do not wait for each
    other. Mutable state: the items, the virtual time and the finish tags above it.
    """

    def __init__(self) -> None:
        self._items: list[tuple[float, int, T]] = []
        self._numbers = count()
        self._now = 0.0
        self._finished: dict[str, float] = {}

    def __len__(self) -> int:
        return len(self._items)

    def push(self, client: str, cost: float, item: T) -> None:
        """Add an item; ``cost`` is positive, in any unit."""
        start = max(self._now, self._finished.get(client, 0.0))
        if client:
            self._finished[client] = start + cost
        heapq.heappush(self._items, (start, next(self._numbers), item))

    def pop(self) -> T | None:
        """Remove the next item and return it; None if there is none."""
        if not self._items:
            return None
        start, _, item = heapq.heappop(self._items)
        self._now = max(self._now, start)
        for client in [one for one, tag in self._finished.items() if tag <= self._now]:
            del self._finished[client]
        return item
