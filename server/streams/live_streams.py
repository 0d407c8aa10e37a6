"""The pulled streams that this server has, each with its running supervisor."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from server.admission import Limit
from server.database.streams import HeldStream, TakenStream
from server.errors import Conflict, Draining, NotFound
from server.sinks.publishing import PublishState
from server.streams.definition import StreamDefinition
from server.streams.giving_back import give_back
from server.streams.ownership import Ownership
from server.streams.place import Takeover
from server.streams.place_keeping import PlaceKeeper
from server.streams.pulled import PulledStream
from server.streams.pulled_services import PulledServices
from server.streams.running_streams import RunningStream, RunningStreams
from server.streams.states import StreamState
from server.streams.stored import placed, takeover_of
from server.streams.tending import cancelled, repeat
from server.streams.whereabouts import Whereabouts

PLACE_SECONDS = 1.0
"""Seconds between storing the places of files: a new owner repeats the masks made since then."""

NO_STREAM = "There is no stream {!r}: it was removed, or never added."

_log = logging.getLogger(__name__)


class LiveStreams:
    """Streams by name. Mutable state: those that run, and the tasks that renew leases, take free
    streams and store the places of files.

    A change is written to the database before it takes effect, so a restart, or another server,
    finds the same streams. One change is made at a time, so that the database and the streams
    agree; renewals do not wait for changes, which may take longer than a lease.
    """

    def __init__(self, services: PulledServices, ownership: Ownership, limit: Limit) -> None:
        self._services = services
        self._ownership = ownership
        self._limit = limit
        self._running = RunningStreams()
        self._places = PlaceKeeper(ownership)
        self._tending: list[asyncio.Task[None]] = []
        self._changing = asyncio.Lock()
        self._draining = False

    def __repr__(self) -> str:
        return f"<LiveStreams {self._running!r}>"

    def __len__(self) -> int:
        return len(self._running)

    @property
    def whereabouts(self) -> Whereabouts:
        """Return the places of all streams, including those of other servers."""
        return self._ownership.whereabouts

    async def start(self) -> None:
        """Pull every stream that an earlier process of this server had, and the free ones that this
        server should take. The first leases could end before the last stream is taken: they are
        renewed meanwhile."""
        self._tend(self._renew, self._ownership.tend_seconds)
        await self._begin_each(await self._ownership.start())
        await self._take_free()
        self._tend(self._take_free, self._ownership.tend_seconds)
        self._tend(self._keep_places, PLACE_SECONDS)

    def _tend(self, act: Callable[[], Awaitable[None]], seconds: float) -> None:
        self._tending.append(asyncio.create_task(repeat(act, seconds)))

    async def drain(self) -> None:
        """End every viewer with ``going_away``, close every source and let other servers have each
        stream as soon as its source is closed; add nothing more.

        Returns once the viewers have left. Idempotent.
        """
        self._draining = True
        for stream in (streams := [one.stream for one in self._running]):
            stream.leave()
        await self._give_back()
        await asyncio.gather(*(stream.viewers.all_left() for stream in streams))

    async def stop(self) -> None:
        """Close every source and end every viewer; the definitions stay. Idempotent."""
        self._draining = True
        await self._give_back()
        for task in self._tending:
            await cancelled(task)
        self._running.clear()
        await self._ownership.close()

    async def _give_back(self) -> None:
        await give_back(first := list(self._running), self._ownership)
        await self._running.lost_have_ended()
        async with self._changing:  # a change that started earlier may have added another one
            added = [one for one in self._running if one not in first]
        await give_back(added, self._ownership)

    def all(self) -> list[PulledStream]:
        """Return every stream that this server may act for, the oldest first."""
        return [one.stream for one in self._running if self._ownership.may_act(one.held)]

    def count(self, state: StreamState) -> int:
        """Return how many streams are in this state."""
        return sum(one.stream.supervised.state is state for one in self._running)

    def count_publishers(self, state: PublishState) -> int:
        """Return how many streams' overlays are restreamed in this state."""
        publishers = (one.stream.publisher for one in self._running)
        return sum(one is not None and one.status.state is state for one in publishers)

    def find(self, name: str, may_see: Callable[[str], bool] = lambda _: True) -> PulledStream:
        """Return a stream. Raises Elsewhere if another server has it, NoCapacity if no server has
        it yet, and NotFound if there is none, or if it is elsewhere and ``may_see`` rejects its
        key.
        """
        return self._find(name, may_see).stream

    def _find(self, name: str, may_see: Callable[[str], bool] = lambda _: True) -> RunningStream:
        running = self._running.find(name)
        if running is None or not self._ownership.may_act(running.held):
            self.whereabouts.check_elsewhere(name, may_see)
            raise NotFound(NO_STREAM.format(name[:64]))
        return running

    async def add(self, definition: StreamDefinition) -> PulledStream:
        """Store a new stream and pull it.

        Raises Conflict if the name is taken, TooMany if its owner has the maximum here, NoCapacity
        if all owners together have the maximum, and Draining if the server is stopping.
        """
        async with self._changing:
            return await self._add(definition)

    async def _add(self, definition: StreamDefinition) -> PulledStream:
        self.check_open()
        owner = definition.owner
        own = sum(one.definition.owner == owner for one in self.all()) if owner else 0
        self._limit.check(own, len(self))
        if definition.name in self._running:
            raise Conflict(f"There is a stream {definition.name} already: choose another name.")
        definition = replace(definition, created=self._services.wall())
        row = definition.name, definition.to_dict(), definition.created
        return self._begin(definition, await self._ownership.add(*row))

    async def pause(self, name: str, paused: bool) -> PulledStream:
        """Pause a stream, or resume it. Idempotent. Raises NotFound."""
        async with self._changing:
            running = self._find(name)
            async with running.changing:
                await self._pause(running, paused)
            return running.stream

    async def _pause(self, running: RunningStream, paused: bool) -> None:
        stream = running.stream
        place = stream.place if stream.supervised.state.has_source and not paused else None
        fields = {"paused": paused} | placed(stream.definition, place)
        await self._ownership.change(running.held, fields)
        await (stream.pause() if paused else stream.resume())

    async def remove(self, name: str) -> None:
        """Remove a stream; its source is closed and its viewers have ended when this returns.

        Raises NotFound.
        """
        async with self._changing:
            running = self._find(name)
            await self._ownership.remove(running.held)
            await self._running.end(running)

    def check_open(self) -> None:
        """Raise Draining if the server is stopping."""
        if self._draining:
            raise Draining("The server is about to stop; try again in a moment.")

    async def _renew(self) -> None:
        """Renew the leases, and end the streams that this server no longer has: once the database
        answers, or has not answered for a while."""
        renewing = asyncio.create_task(self._ownership.renew())
        try:
            while not renewing.done():
                await asyncio.wait([renewing], timeout=self._ownership.patience)
                self._ownership.forget_expired()
                self._end_lost()
            await renewing
        finally:
            renewing.cancel()

    def _end_lost(self) -> None:
        """End the streams that this server no longer has, except those that are ending already."""
        if self._draining:
            return
        for one in self._running:
            if not self._ownership.may_act(one.held):
                _log.warning(
                    "stream %s ends here: its lease is over, or another server has it", one.name
                )
                self._running.lose(one)

    async def _take_free(self) -> None:
        """Take the free streams that this server should take, as far as it has places for them."""
        async with self._changing:
            total = self._limit.total
            places = None if total is None else max(0, total - len(self))
            taken = await self._ownership.take_free(0 if self._draining else places)
            await self._begin_each(taken)

    async def _keep_places(self) -> None:
        """Store the places of the files, if they have moved."""
        async with self._changing:
            await self._places.keep(self._running)

    async def _begin_each(self, taken: list[TakenStream]) -> None:
        """Pull streams that were taken, and give back those that cannot be pulled: all of them if
        the server is stopping. If the database fails, they are free once their leases end."""
        unfit = [one for one in taken if self._draining or not self._has_begun(one)]
        try:
            for one in unfit:
                await self._ownership.release(one.held)
        finally:
            for one in unfit:
                self._ownership.drop(one.held)

    def _has_begun(self, taken: TakenStream) -> bool:
        """Pull a stream that was taken; return False if that is impossible, or left to others."""
        if self._ownership.is_left(taken):
            self._ownership.avoid(taken.name)
            return False
        try:
            definition = StreamDefinition.from_dict(taken.definition)
            self._begin(definition, taken.held, takeover_of(taken))
        except Exception:  # the others can be pulled
            _log.exception("the stream %s cannot be pulled", taken.name)
            self._ownership.avoid(taken.name)
            return False
        return True

    def _begin(
        self, definition: StreamDefinition, held: HeldStream, takeover: Takeover | None = None
    ) -> PulledStream:
        may_act = partial(self._ownership.may_act, held)
        stream = PulledStream(definition, self._services, takeover, may_act)
        self._running.begin(held, stream)
        return stream
