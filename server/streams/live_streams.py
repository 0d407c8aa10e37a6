"""All pulled streams: their definitions in the database, each with its supervisor at work."""

from __future__ import annotations

import asyncio
import logging
from contextvars import Context
from dataclasses import replace

from server.admission import Limit
from server.database.streams import StreamRows
from server.errors import Conflict, Draining, NotFound
from server.sinks.publishing import PublishState
from server.streams.definition import StreamDefinition
from server.streams.pulled import PulledServices, PulledStream
from server.streams.supervision import StreamState
from server.threads import ThreadRunner

CANCEL_SECONDS = 15.0
"""Longer than closing a source and a publisher takes; then a supervisor is cancelled again."""

NO_STREAM = "There is no stream {!r}: it was removed, or never added."

_log = logging.getLogger(__name__)


class LiveStreams:
    """Streams by name. Mutable state: those that run, each with its task.

    A change is written to the database before it takes effect, so a restart finds the same
    streams. One change is made at a time, so that the database and the streams agree.
    """

    def __init__(self, services: PulledServices, rows: StreamRows, limit: Limit) -> None:
        self._services = services
        self._rows = rows
        self._limit = limit
        self._disk = ThreadRunner("live")
        self._streams: dict[str, PulledStream] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._changing = asyncio.Lock()
        self._draining = False

    def __repr__(self) -> str:
        return f"<LiveStreams {list(self._streams.values())!r}>"

    def __len__(self) -> int:
        return len(self._streams)

    async def start(self) -> None:
        """Pull every stream in the database."""
        await self._disk(self._rows.seal_all)
        for row in await self._disk(self._rows.all):
            self._begin(StreamDefinition.from_dict(row))

    async def drain(self) -> None:
        """End every viewer with ``going_away`` and close every source; add nothing more.

        Returns once the viewers have left. Idempotent.
        """
        self._draining = True
        streams = self.all()
        for stream in streams:
            stream.leave()
        await self._cancel()
        await asyncio.gather(*(stream.viewers.all_left() for stream in streams))

    async def stop(self) -> None:
        """Close every source and end every viewer; the definitions stay. Idempotent."""
        await self._cancel()
        self._tasks.clear()
        self._streams.clear()
        await self._disk.close()

    async def _cancel(self) -> None:
        await asyncio.gather(*(_cancelled(task) for task in self._tasks.values()))

    def all(self) -> list[PulledStream]:
        """Return every stream, the oldest first."""
        return list(self._streams.values())

    def count(self, state: StreamState) -> int:
        """Return how many streams are in this state."""
        return sum(stream.supervised.state is state for stream in self._streams.values())

    def count_publishers(self, state: PublishState) -> int:
        """Return how many streams' overlays are restreamed in this state."""
        publishers = (stream.publisher for stream in self._streams.values())
        return sum(one is not None and one.status.state is state for one in publishers)

    def find(self, name: str) -> PulledStream:
        """Return a stream. Raises NotFound."""
        stream = self._streams.get(name)
        if stream is None:
            raise NotFound(NO_STREAM.format(name[:64]))
        return stream

    async def add(self, definition: StreamDefinition) -> PulledStream:
        """Write a new stream down and pull it.

        Raises Conflict if the name is taken, TooMany if its owner has as many as may be, NoCapacity
        if all together have, Draining if the server is stopping.
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
        await self._disk(self._rows.add, definition.name, definition.to_dict(), definition.created)
        return self._begin(definition)

    async def pause(self, name: str, paused: bool) -> PulledStream:
        """Pause a stream, or resume it. Idempotent. Raises NotFound."""
        async with self._changing:
            stream = self.find(name)
            definition = replace(stream.definition, paused=paused)
            await self._disk(self._rows.change, name, definition.to_dict())
            await (stream.pause() if paused else stream.resume())
            return stream

    async def remove(self, name: str) -> None:
        """Forget a stream; its source is closed and its viewers have ended when this returns.

        Raises NotFound.
        """
        async with self._changing:
            self.find(name)
            await self._disk(self._rows.remove, name)
            await self._end(name)

    def check_open(self) -> None:
        """Raise Draining if the server is stopping."""
        if self._draining:
            raise Draining("The server is about to stop; try again in a moment.")

    async def _end(self, name: str) -> None:
        self._streams.pop(name, None)
        task = self._tasks.pop(name, None)
        if task is not None:
            await _cancelled(task)

    def _begin(self, definition: StreamDefinition) -> PulledStream:
        stream = PulledStream(definition, self._services)
        self._streams[definition.name] = stream
        # In a context of its own, so that its log lines do not name the request that added it.
        task = asyncio.create_task(
            stream.run(), name=f"stream {definition.name}", context=Context()
        )
        task.add_done_callback(_report_failure)
        self._tasks[definition.name] = task
        return stream


async def _cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end; again after a while, should the first cancellation be
    lost to a library that swallows it, or nothing could be changed any more."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_SECONDS)


def _report_failure(task: asyncio.Task[None]) -> None:
    """Log the error that ended a supervisor, which is a bug: it should run until cancelled."""
    if not task.cancelled() and (error := task.exception()):
        _log.critical("%s broke", task.get_name(), exc_info=error)
