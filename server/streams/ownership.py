"""Which pulled streams this server has: it takes, renews and gives back their leases.

free --take--> held --renew--> held
held --release--> free
held --lease over, or another server has taken it--> lost
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from server.cluster.boot_clock import boot_seconds
from server.cluster.lease import Lease, Terms, granted, is_due, is_held, renewed
from server.cluster.membership import ALONE_SECONDS, Membership
from server.cluster.placement import wanted
from server.database.streams import HeldStream, StreamPlace, StreamRows, TakenStream
from server.errors import MastreamError, NoCapacity, Unavailable
from server.streams.avoided import Avoided
from server.streams.whereabouts import Whereabouts
from server.threads import ThreadRunner

_log = logging.getLogger(__name__)

CAUSES = ("given_back", "expired", "restart")
"""Why a server takes a stream: another server gave it back, died or froze, or an earlier process of
this one had it."""


class Ownership:
    """Takes, renews and gives back the rows of pulled streams.

    Every action for a stream names its epoch: if the stream was lost, nothing is done for its
    earlier task, even if this server has taken it again meanwhile, or another stream with its name.

    Mutable state: the held streams by name, each with its lease; the places of all; those streams
    that were held when leases were last renewed, while the database has not answered; the
    streams to be avoided.
    """

    def __init__(
        self,
        rows: StreamRows,
        membership: Membership,
        terms: Terms | None = None,
        clock: Callable[[], float] = boot_seconds,
        on_taken: Callable[[str], None] = lambda _: None,
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """``on_taken`` receives why a stream was taken, one of CAUSES; ``on_lost`` is called when
        this server loses a stream that it did not give back."""
        self._rows = rows
        self._membership = membership
        self._terms = terms or Terms()
        self._clock = clock
        self._on_taken = on_taken
        self._on_lost = on_lost
        self._disk = ThreadRunner("live")
        self._leases: dict[str, tuple[HeldStream, Lease]] = {}
        self._unanswered: set[HeldStream] = set()
        self._avoided = Avoided()
        self.whereabouts = Whereabouts(membership, self.holds)

    def __repr__(self) -> str:
        return f"<Ownership of {len(self._leases)} streams>"

    def holds(self, name: str) -> bool:
        """Return whether this server may act for a stream now.

        A server that knew of no other when the database stopped answering keeps its streams: no
        other can take them. One that was frozen asks first: another may have begun meanwhile.
        """
        if name not in self._leases:
            return False
        held, lease = self._leases[name]
        return is_held(lease, self._clock()) or self._is_without_rivals(held)

    def may_act(self, held: HeldStream) -> bool:
        """Return whether this server may act for a stream under this epoch now."""
        return self._has(held) and self.holds(held.name)

    @property
    def tend_seconds(self) -> float:
        """Return the seconds between checks of leases and free streams."""
        return ALONE_SECONDS if self._membership.is_alone else self._terms.renew / 2

    @property
    def patience(self) -> float:
        """Return the seconds to wait for a renewal before streams whose leases are over end: after
        a freeze, all of them are over until the database answers."""
        return self._terms.lease

    async def start(self) -> list[TakenStream]:
        """Take back the streams that an earlier process of this server had; return them."""
        await self._disk(self._rows.seal_all)
        await self._read()
        places = self.whereabouts.places
        left = [one.name for one in places if one.server == self._membership.name]
        return await self._take_each(self._rows.take_back, left)

    async def add(self, name: str, definition: Mapping[str, Any], created: float) -> HeldStream:
        """Store a new stream that this server has. Raises Conflict if the name is taken."""
        asked, server, lease = self._clock(), self._membership.name, self._terms.lease
        held = await self._disk(self._rows.add, name, definition, created, server, lease)
        self._keep(held, asked)
        owner = str(definition.get("owner", ""))
        self.whereabouts.note(StreamPlace(name, server, lease, owner))
        return held

    async def change(self, held: HeldStream, fields: Mapping[str, Any]) -> None:
        """Store changed fields of a definition. Raises NoCapacity if the stream was lost."""
        _check_kept(self._has(held))
        _check_kept(await self._disk(self._rows.change, held, fields))

    async def remove(self, held: HeldStream) -> None:
        """Remove a stream. Raises NoCapacity if it was lost."""
        _check_kept(self._has(held))
        _check_kept(await self._disk(self._rows.remove, held))
        self.drop(held)
        self.whereabouts.forget(held.name)

    async def change_all(self, fields: Mapping[HeldStream, Mapping[str, Any]]) -> None:
        """Store changed fields of those streams that were not lost."""
        kept = {held: one for held, one in fields.items() if self.may_act(held)}
        if kept:
            await self._disk(self._rows.change_all, kept)

    async def release(self, held: HeldStream, fields: Mapping[str, Any] | None = None) -> None:
        """Give a stream back, with these fields changed; it must have stopped. Idempotent."""
        if self._has(held):
            await self._disk(self._rows.release, held, fields)
            self.drop(held)

    def avoid(self, name: str) -> None:
        """Leave a stream that this server cannot pull to others for a while."""
        self._avoided.add(name, self._clock())

    def is_left(self, taken: TakenStream) -> bool:
        """Return whether to leave a stream to others because this server cannot read its password.

        If none of them took it after this server had left it, no server can read it.
        """
        has_been_left = self._avoided.was(taken.name, self._clock())
        return not taken.is_whole and bool(self._membership.peers) and not has_been_left

    def drop(self, held: HeldStream) -> None:
        """Renew a lease no more: any server can take the stream once it ends. Idempotent."""
        if self._has(held):
            del self._leases[held.name]

    async def renew(self) -> None:
        """Renew every lease that is due, and forget those of streams that others have taken."""
        for _ in range(2):  # if the first answer took long, leases are due again or over
            await self._renew_due(self._clock())
        self._unanswered.clear()

    async def _renew_due(self, asked: float) -> None:
        due = [held for held, lease in self._leases.values() if is_due(lease, asked)]
        if not due:
            return
        self._unanswered = {held for held, _ in self._leases.values() if self.may_act(held)}
        kept = await self._kept(due)
        for held in filter(self._has, due):
            if held in kept:
                _, lease = self._leases[held.name]
                self._leases[held.name] = held, renewed(lease, asked, self._terms)
            else:
                self._lose(held.name)

    def forget_expired(self) -> None:
        """Forget the streams for which this server may not act any more."""
        for name in [one for one in self._leases if not self.holds(one)]:
            self._lose(name)

    async def take_free(self, most: int | None) -> list[TakenStream]:
        """Take the free streams that this server should take, at most ``most`` if it is given;
        return them."""
        await self._read()
        if self._membership.is_replaced:
            return []
        now = self._clock()
        others = self._leases.keys() | self._avoided.names(now)
        free = [one for one in self.whereabouts.free() if one.name not in others]
        back = self.whereabouts.answers_for(now)
        mine = wanted(self._membership.name, self._membership.candidates, free, back)
        return await self._take_each(self._rows.take, mine[:most])

    async def close(self) -> None:
        """Wait until all database work is done."""
        await self._disk.close()

    def _is_without_rivals(self, held: HeldStream) -> bool:
        """Return whether no other server can take a stream whose lease could not be renewed."""
        is_unreachable = held in self._unanswered or self._membership.is_alone
        return is_unreachable and not self._membership.peers

    async def _read(self) -> None:
        try:
            places = await self._disk(self._rows.places)
        except Unavailable:
            self.whereabouts.note_away()
            raise
        self.whereabouts.read(places, self._clock())

    async def _kept(self, due: Sequence[HeldStream]) -> set[HeldStream]:
        """Renew leases, or only check them if no other server can read them; return those that are
        kept."""
        server = self._membership.name
        if self._membership.is_alone:
            return await self._disk(self._rows.still, due, server)
        return await self._disk(self._rows.renew, due, server, self._terms.lease)

    async def _take_each(
        self, take: Callable[[str, str, float], TakenStream | None], names: Sequence[str]
    ) -> list[TakenStream]:
        taken: list[TakenStream] = []
        for name in names:
            asked = self._clock()
            try:
                one = await self._disk(take, name, self._membership.name, self._terms.lease)
            except MastreamError as error:
                if not taken:
                    raise
                _log.warning("%d of %d streams were taken: %s", len(taken), len(names), error)
                break
            if one is not None:
                self._keep(one.held, asked)
                taken.append(replace(one, cause=self.whereabouts.cause(name)))
                self._on_taken(taken[-1].cause)
        return taken

    def _keep(self, held: HeldStream, asked: float) -> None:
        self._leases[held.name] = held, granted(held.epoch, asked, self._terms)

    def _has(self, held: HeldStream) -> bool:
        """Return whether this server still has the lease of this epoch."""
        return held.name in self._leases and self._leases[held.name][0] == held

    def _lose(self, name: str) -> None:
        del self._leases[name]
        self._on_lost()


def _check_kept(is_kept: bool) -> None:
    if not is_kept:
        raise NoCapacity("The stream has moved to another server: send the request again.")
