"""Which pulled streams this server has: their leases, and where all others are.

free --take--> held --renew--> held
held --release--> free
held --lease over, or another server has taken it--> lost
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from server.cluster.boot_clock import boot_seconds
from server.cluster.history import Condition, History
from server.cluster.lease import Lease, Terms, granted, is_due, is_held, renewed
from server.cluster.membership import ALONE_SECONDS, Membership
from server.cluster.placement import FreeStream, wanted
from server.database.streams import HeldStream, StreamPlace, StreamRows, TakenStream
from server.errors import Elsewhere, MastreamError, NoCapacity, Unavailable
from server.threads import ThreadRunner

_log = logging.getLogger(__name__)

CAUSES = ("given_back", "expired", "restart")
"""Why a server takes a stream: its server gave it back, died or froze, or was this one's earlier
process."""


class Ownership:
    """Takes, renews and gives back the rows of pulled streams.

    Mutable state: the lease of each stream that is held, where all were when last read, and whether
    the database was away then, or since when it has answered again.
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
        one that was not given back is this server's no more."""
        self._rows = rows
        self._membership = membership
        self._terms = terms or Terms()
        self._clock = clock
        self._on_taken = on_taken
        self._on_lost = on_lost
        self._disk = ThreadRunner("live")
        self.history = History("stream", "removed")
        self._leases: dict[str, Lease] = {}
        self._places: dict[str, StreamPlace] = {}
        self._is_away = False
        self._answers_since = -math.inf

    def __repr__(self) -> str:
        return f"<Ownership of {len(self._leases)} of {len(self._places)} streams>"

    def holds(self, name: str) -> bool:
        """Return whether this server may act for a stream now.

        A server that knew no other when the database ceased to answer keeps its streams: nobody
        could take them.
        """
        lease = self._leases.get(name)
        return lease is not None and (is_held(lease, self._clock()) or not self._membership.peers)

    def count(self, state: str) -> int:
        """Return how many streams are ``held`` here, ``elsewhere`` or ``free``, as last read."""
        free = sum(one.is_free and not self.holds(one.name) for one in self._places.values())
        held = sum(self.holds(name) for name in self._leases)
        return {"held": held, "elsewhere": len(self.elsewhere()), "free": free}[state]

    def state(self, place: StreamPlace) -> Literal["held", "elsewhere", "free"]:
        """Return whether a stream is ``held`` by this server, ``elsewhere`` or ``free``."""
        if self.holds(place.name):
            return "held"
        return "free" if place.is_free else "elsewhere"

    @property
    def places(self) -> list[StreamPlace]:
        """Return where all streams are, as last read."""
        return list(self._places.values())

    @property
    def tend_seconds(self) -> float:
        """Return how often leases and free streams are to be looked at."""
        return ALONE_SECONDS if self._membership.is_alone else self._terms.renew / 2

    def elsewhere(self) -> list[tuple[StreamPlace, str | None]]:
        """Return the streams that other servers have, as last read, with their address."""
        others = (one for name, one in self._places.items() if name not in self._leases)
        return [(one, self._membership.url_of(one.server)) for one in others if not one.is_free]

    def check_elsewhere(self, name: str, may_see: Callable[[str], bool]) -> None:
        """Raise Elsewhere if another server has a stream whose key ``may_see`` accepts, and
        NoCapacity if no server has it yet, or its address is not known."""
        place = self._places.get(name)
        if place is None or self.holds(name) or not may_see(place.key):
            return
        mine = place.server == self._membership.name
        url = None if place.is_free or mine else self._membership.url_of(place.server)
        if url is None:
            raise NoCapacity(f"Another server is to pull {name}: try again in a moment.")
        raise Elsewhere(f"Another server pulls {name}: ask {url}.", url)

    async def start(self) -> list[TakenStream]:
        """Take back what an earlier process of this server had; return it."""
        await self._disk(self._rows.seal_all)
        left = [one for one in await self._read() if one.server == self._membership.name]
        return await self._take_each(self._rows.take_back, [one.name for one in left])

    async def add(self, name: str, definition: Mapping[str, Any], created: float) -> None:
        """Store a new stream that this server has. Raises Conflict if the name is taken."""
        asked, server, lease = self._clock(), self._membership.name, self._terms.lease
        held = await self._disk(self._rows.add, name, definition, created, server, lease)
        self._leases[name] = granted(held.epoch, asked, self._terms)
        self._places[name] = StreamPlace(name, server, lease, str(definition.get("owner", "")))

    async def change(self, name: str, definition: Mapping[str, Any]) -> None:
        """Store a changed definition. Raises NoCapacity if the stream was lost."""
        _check_kept(await self._disk(self._rows.change, self._held(name), definition))

    async def remove(self, name: str) -> None:
        """Remove a stream. Raises NoCapacity if it was lost."""
        _check_kept(await self._disk(self._rows.remove, self._held(name)))
        self._leases.pop(name, None)
        self._places.pop(name, None)

    async def change_all(self, definitions: Mapping[str, Mapping[str, Any]]) -> None:
        """Store the definitions of those streams that were not lost."""
        held = {self._held(name): one for name, one in definitions.items() if self.holds(name)}
        if held:
            await self._disk(self._rows.change_all, held)

    async def release(self, name: str, definition: Mapping[str, Any] | None = None) -> None:
        """Give a stream back, with this definition if it is given; it must run no more.
        Idempotent."""
        if name in self._leases:
            await self._disk(self._rows.release, self._held(name), definition)
            self._leases.pop(name, None)

    async def renew(self) -> None:
        """Renew every lease that is due, and forget those of streams that others have taken."""
        asked = self._clock()
        due = [self._held(name) for name, one in self._leases.items() if is_due(one, asked)]
        if not due:
            return
        kept = await self._kept(due)
        for held in due:
            if held.name not in self._leases:
                continue
            if held in kept:
                self._leases[held.name] = renewed(self._leases[held.name], asked, self._terms)
            else:
                self._lose(held.name)

    async def _kept(self, due: Sequence[HeldStream]) -> set[HeldStream]:
        """Renew leases, or only look at them if nobody else can; return those that are kept."""
        server = self._membership.name
        if self._membership.is_alone:
            return await self._disk(self._rows.still, due, server)
        return await self._disk(self._rows.renew, due, server, self._terms.lease)

    def forget_expired(self) -> None:
        """Forget the streams for which this server may not act any more."""
        for name in [one for one in self._leases if not self.holds(one)]:
            self._lose(name)

    async def take_free(self, most: int | None) -> list[TakenStream]:
        """Take those free streams that fall to this server, at most ``most`` if it is given; return
        them."""
        places = await self._read()
        if self._membership.is_replaced:
            return []
        free = [_free(one) for one in places if one.is_free and one.name not in self._leases]
        back = self._clock() - self._answers_since
        mine = wanted(self._membership.name, self._membership.candidates, free, back)
        return await self._take_each(self._rows.take, mine[:most])

    async def close(self) -> None:
        """Wait until all work with the database is done."""
        await self._disk.close()

    async def _read(self) -> list[StreamPlace]:
        try:
            places = await self._disk(self._rows.places)
        except Unavailable:
            self._is_away = True
            raise
        if self._is_away:
            self._is_away, self._answers_since = False, self._clock()
        self._places = {one.name: one for one in places}
        self.history.look({one.name: self._condition(one) for one in places})
        return places

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
                self._leases[name] = granted(one.epoch, asked, self._terms)
                taken.append(replace(one, cause=self._cause(name)))
                self._on_taken(taken[-1].cause)
        return taken

    def _cause(self, name: str) -> str:
        server = self._places[name].server
        if server is None:
            return "given_back"
        return "restart" if server == self._membership.name else "expired"

    def _condition(self, place: StreamPlace) -> Condition:
        is_free = self.state(place) == "free"
        return Condition("free") if is_free else Condition("held", place.server)

    def _lose(self, name: str) -> None:
        del self._leases[name]
        self._on_lost()

    def _held(self, name: str) -> HeldStream:
        if name not in self._leases:
            raise _lost()
        return HeldStream(name, self._leases[name].epoch)


def _free(place: StreamPlace) -> FreeStream:
    return FreeStream(place.name, -place.lasts, place.server)


def _check_kept(is_kept: bool) -> None:
    if not is_kept:
        raise _lost()


def _lost() -> NoCapacity:
    return NoCapacity("The stream has moved to another server: send the request again.")
