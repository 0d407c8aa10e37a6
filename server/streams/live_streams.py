"""The pulled streams that this server has, each with its supervisor at work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextvars import Context
from dataclasses import replace

from server.admission import Limit
from server.database.streams import TakenStream
from server.errors import Conflict, Draining, MastreamError, NotFound
from server.sinks.publishing import PublishState
from server.streams.definition import StreamDefinition
from server.streams.ownership import Ownership
from server.streams.place import Place, Takeover
from server.streams.pulled import PulledStream
from server.streams.pulled_services import PulledServices
from server.streams.stored import stored, takeover_of
from server.streams.supervision import StreamState
from server.streams.tending import cancelled, repeat, report_failure

PLACE_SECONDS = 1.0
"""How often the places of files are stored: a new owner repeats the masks made since then."""

NO_STREAM = "There is no stream {!r}: it was removed, or never added."

_log = logging.getLogger(__name__)


class LiveStreams:
    """Streams by name. Mutable state: those that run, each with its task; those that end since
    another server has them; the tasks that renew leases, take free streams and store the places
    of files, and the places that were stored last.

    A change is written to the database before it takes effect, so a restart, or another server,
    finds the same streams. One change is made at a time, so that the database and the streams
    agree; renewals do not wait for changes, which may take longer than a lease.
    """

    def __init__(self, services: PulledServices, ownership: Ownership, limit: Limit) -> None:
        self._services = services
        self.ownership = ownership
        self._limit = limit
        self._streams: dict[str, PulledStream] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._stored: dict[str, Place | None] = {}
        self._tending: list[asyncio.Task[None]] = []
        self._changing = asyncio.Lock()
        self._draining = False

    def __repr__(self) -> str:
        return f"<LiveStreams {list(self._streams.values())!r}>"

    def __len__(self) -> int:
        return len(self._streams)

    async def start(self) -> None:
        """Pull every stream that an earlier process of this server had, and those that fall to
        this one of the free ones."""
        await self._begin_each(await self.ownership.start())
        await self._take_free()
        self._tending = [
            asyncio.create_task(repeat(self._renew, self.ownership.tend_seconds)),
            asyncio.create_task(repeat(self._take_free, self.ownership.tend_seconds)),
            asyncio.create_task(repeat(self._keep_places, PLACE_SECONDS)),
        ]

    async def drain(self) -> None:
        """End every viewer with ``going_away``, close every source and let other servers have the
        streams; add nothing more.

        Returns once the viewers have left. Idempotent.
        """
        self._draining = True
        streams = list(self._streams.values())
        for stream in streams:
            stream.leave()
        await self._cancel()
        await self._release()
        await asyncio.gather(*(stream.viewers.all_left() for stream in streams))

    async def stop(self) -> None:
        """Close every source and end every viewer; the definitions stay. Idempotent."""
        self._draining = True
        await self._cancel()
        await self._release()
        for task in self._tending:
            await cancelled(task)
        self._tasks.clear()
        self._streams.clear()
        await self.ownership.close()

    async def _release(self) -> None:
        try:
            for name, stream in list(self._streams.items()):
                await self.ownership.release(name, stored(stream.definition, stream.place))
        except MastreamError as error:
            _log.warning("other servers get the streams only when the leases end: %s", error)

    async def _cancel(self) -> None:
        tasks = (*self._tasks.values(), *self._ending)
        await asyncio.gather(*(cancelled(task) for task in tasks))

    def all(self) -> list[PulledStream]:
        """Return every stream that this server may act for, the oldest first."""
        return [one for name, one in self._streams.items() if self.ownership.holds(name)]

    def count(self, state: StreamState) -> int:
        """Return how many streams are in this state."""
        return sum(stream.supervised.state is state for stream in self._streams.values())

    def count_publishers(self, state: PublishState) -> int:
        """Return how many streams' overlays are restreamed in this state."""
        publishers = (stream.publisher for stream in self._streams.values())
        return sum(one is not None and one.status.state is state for one in publishers)

    def find(self, name: str, may_see: Callable[[str], bool] = lambda _: True) -> PulledStream:
        """Return a stream. Raises Elsewhere if another server has it, NoCapacity if none has it
        yet, NotFound if there is none; this also for one elsewhere whose key ``may_see`` rejects.
        """
        stream = self._streams.get(name)
        if stream is None or not self.ownership.holds(name):
            self.ownership.check_elsewhere(name, may_see)
            raise NotFound(NO_STREAM.format(name[:64]))
        return stream

    async def add(self, definition: StreamDefinition) -> PulledStream:
        """Write a new stream down and pull it.

        Raises Conflict if the name is taken, TooMany if its owner has as many here as may be,
        NoCapacity if all together have, Draining if the server is stopping.
        """
        async with self._changing:
            return await self._add(definition)

    async def _add(self, definition: StreamDefinition) -> PulledStream:
        self.check_open()
        owner = definition.owner
        own = sum(one.definition.owner == owner for one in self.all()) if owner else 0
        self._limit.check(own, len(self))
        if definition.name in self._streams:
            raise Conflict(f"There is a stream {definition.name} already: choose another name.")
        definition = replace(definition, created=self._services.wall())
        await self.ownership.add(definition.name, definition.to_dict(), definition.created)
        return self._begin(definition)

    async def pause(self, name: str, paused: bool) -> PulledStream:
        """Pause a stream, or resume it. Idempotent. Raises NotFound."""
        async with self._changing:
            stream = self.find(name)
            definition = replace(stream.definition, paused=paused)
            place = stream.place if stream.supervised.state.has_source and not paused else None
            await self.ownership.change(name, stored(definition, place))
            await (stream.pause() if paused else stream.resume())
            return stream

    async def remove(self, name: str) -> None:
        """Forget a stream; its source is closed and its viewers have ended when this returns.

        Raises NotFound.
        """
        async with self._changing:
            self.find(name)
            await self.ownership.remove(name)
            await self._end(name)

    def check_open(self) -> None:
        """Raise Draining if the server is stopping."""
        if self._draining:
            raise Draining("The server is about to stop; try again in a moment.")

    async def _end(self, name: str) -> None:
        self._streams.pop(name, None)
        task = self._tasks.pop(name, None)
        if task is not None:
            await cancelled(task)

    async def _renew(self) -> None:
        """Renew the leases, and end the streams that this server has no longer."""
        try:
            await self.ownership.renew()
        finally:
            self.ownership.forget_expired()
            self._end_lost()

    def _end_lost(self) -> None:
        """End the streams that this server has no longer, besides those that end anyway."""
        lost = [one for one in self._streams if not self.ownership.holds(one)]
        for name in [] if self._draining else lost:
            stream = self._streams.pop(name)
            _log.warning("stream %s ends here: its lease is over, or another server has it", name)
            stream.leave()
            ending = asyncio.create_task(cancelled(self._tasks.pop(name)))
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def _take_free(self) -> None:
        """Take those free streams that fall to this server, as far as there is a place for them."""
        async with self._changing:
            total = self._limit.total
            places = None if total is None else max(0, total - len(self))
            await self._begin_each(await self.ownership.take_free(0 if self._draining else places))

    async def _keep_places(self) -> None:
        """Store where the files are, as far as they have moved."""
        async with self._changing:
            places = {name: one.place for name, one in self._streams.items()}
            moved = {name: one for name, one in places.items() if one != self._stored.get(name)}
            changed = {
                name: stored(self._streams[name].definition, place)
                for name, place in moved.items()
                if place is not None
            }
            await self.ownership.change_all(changed)
            self._stored = places

    async def _begin_each(self, taken: list[TakenStream]) -> None:
        """Pull streams that were taken, and give back what cannot be pulled: all of them if the
        server is to stop by now."""
        for one in taken:
            if self._draining or not self._has_begun(one):
                await self.ownership.release(one.name, one.definition)

    def _has_begun(self, taken: TakenStream) -> bool:
        """Pull a stream that was taken; return whether that is possible."""
        try:
            self._begin(StreamDefinition.from_dict(taken.definition), takeover_of(taken))
        except Exception:  # the others can be pulled
            _log.exception("the stream %s cannot be pulled", taken.name)
            return False
        return True

    def _begin(
        self, definition: StreamDefinition, takeover: Takeover | None = None
    ) -> PulledStream:
        stream = PulledStream(definition, self._services, takeover)
        self._streams[definition.name] = stream
        # In a context of its own, so that its log lines do not name the request that added it.
        task = asyncio.create_task(
            stream.run(), name=f"stream {definition.name}", context=Context()
        )
        task.add_done_callback(report_failure)
        self._tasks[definition.name] = task
        return stream
