"""Inbox: the packets of one stream between its socket and its decoder."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from protocol import DropCause, DropPolicy
from server.changes import Changes
from server.frame import Dropped
from server.sources.pictures.packets import Packet
from server.streams.frame_ledger import FrameLedger


class Inbox:
    """Packets that wait to be decoded, in order.

    Under ``latest`` a new packet replaces those that wait, before any time is spent on decoding
    them; it inherits a reset that one of them carried. Under ``every`` no packet is dropped, and
    replayed frames never are: the memory needs each of them. The reader calls
    :meth:`wait_for_room`, so at most a window of those packets wait. ``ledger`` counts the bytes
    of each packet from here on.
    """

    def __init__(
        self, policy: DropPolicy = DropPolicy.LATEST, ledger: FrameLedger | None = None
    ) -> None:
        self.policy = policy
        self._ledger = ledger or FrameLedger()
        self._waiting: deque[Packet] = deque()
        self._closed = False
        self._changes = Changes()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<Inbox {state} {self.policy}: {len(self._waiting)} packets>"

    def put(self, packet: Packet) -> list[Dropped]:
        """Queue a packet; return the frames that are dropped in favour of it."""
        lost = [] if self.policy is DropPolicy.EVERY or packet.replay else self._take_superseded()
        if any(one.reset for one in lost):
            packet = replace(packet, reset=True)
        self._waiting.append(packet)
        self._ledger.packet(packet.seq, len(packet.data))
        self._changes.notify()
        return [Dropped(one.seq, DropCause.NEWER) for one in lost]

    @property
    def gives_way(self) -> bool:
        """Return whether the next packet may still be replaced by a newer one."""
        is_replay = bool(self._waiting) and self._waiting[0].replay
        return self.policy is DropPolicy.LATEST and not (is_replay or self._closed)

    def close(self) -> None:
        """Accept nothing more; :meth:`take` returns what is left, then None."""
        self._closed = True
        self._changes.notify()

    def discard(self) -> None:
        """Close, and release the waiting packets, which will not be taken. Idempotent."""
        self.close()
        self._waiting.clear()

    async def take(self) -> Packet | None:
        """Return the next packet, or None when all are taken after :meth:`close`."""
        await self._changes.until(lambda: bool(self._waiting) or self._closed)
        taken = self._waiting.popleft() if self._waiting else None
        self._changes.notify()
        return taken

    async def wait_for_room(self, window: int) -> None:
        """Wait until fewer than ``window`` packets that may not be dropped are queued."""
        await self._changes.until(lambda: self._kept() < window)

    def _kept(self) -> int:
        every = self.policy is DropPolicy.EVERY
        return sum(every or one.replay for one in self._waiting)

    def _take_superseded(self) -> list[Packet]:
        lost = [one for one in self._waiting if not one.replay]
        self._waiting = deque(one for one in self._waiting if one.replay)
        return lost
