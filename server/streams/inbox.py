"""Inbox: the packets of one stream between its socket and its decoder."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from protocol import DropCause, DropPolicy
from server.changes import Changes
from server.frame import Dropped
from server.sources.packets import Packet
from server.streams.frame_ledger import FrameLedger


class Inbox:
    """Packets that wait to be decoded, in order.

    Under ``latest`` a new packet takes the place of those that wait, before anything is spent on
    decoding them; a reset that one of them carried goes on to it. Under ``every`` nobody loses,
    and replayed frames are never lost: the memory needs each. The reader waits for :meth:`room`,
    so that no more than a window of those are here. ``ledger`` counts the bytes of each from here
    on.
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
        """Take a packet; returns who loses for it."""
        lost = [] if self.policy is DropPolicy.EVERY or packet.replay else self._superseded()
        if any(one.reset for one in lost):
            packet = replace(packet, reset=True)
        self._waiting.append(packet)
        self._ledger.packet(packet.seq, len(packet.data))
        self._changes.notify()
        return [Dropped(one.seq, DropCause.NEWER) for one in lost]

    def close(self) -> None:
        """Nothing more will come; :meth:`take` gives what is left, then None."""
        self._closed = True
        self._changes.notify()

    def discard(self) -> None:
        """Close, and let go of what waits: nobody will take it. Idempotent."""
        self.close()
        self._waiting.clear()

    async def take(self) -> Packet | None:
        """The next packet, or None when all are taken after :meth:`close`."""
        await self._changes.until(lambda: bool(self._waiting) or self._closed)
        taken = self._waiting.popleft() if self._waiting else None
        self._changes.notify()
        return taken

    async def room(self, window: int) -> None:
        """Wait until fewer than ``window`` packets wait that nobody may lose."""
        await self._changes.until(lambda: self._kept() < window)

    def _kept(self) -> int:
        every = self.policy is DropPolicy.EVERY
        return sum(every or one.replay for one in self._waiting)

    def _superseded(self) -> list[Packet]:
        lost = [one for one in self._waiting if not one.replay]
        self._waiting = deque(one for one in self._waiting if one.replay)
        return lost
