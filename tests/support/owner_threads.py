"""Servers of pulled streams in one process, each in a thread and an event loop of its own: so one
can freeze, or end without a word, while the others continue."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from models.spec import ModelSpec
from server.admission import Limit
from server.cluster.lease import Terms
from server.cluster.membership import Membership, Times
from server.database.connection import Database
from server.database.owners import OwnerRows, Presence
from server.database.streams import HeldStream, StreamRows
from server.engines.fake import FakeEngine, fake_spec
from server.frame import Frame, Mask
from server.security.sealing import Seal
from server.sources.base import Source
from server.streams.definition import StreamDefinition
from server.streams.live_streams import LiveStreams
from server.streams.ownership import Ownership
from server.streams.place import Takeover
from server.streams.pulled import PulledStream
from server.streams.pulled_services import PulledServices
from server.streams.states import Rules
from server.workers.worker import Worker

SPEC = fake_spec(16, 32)
RATE = 10
ROOM = 64
PATIENCE = 60.0


class Sent(NamedTuple):
    """A mask that a server sent for a stream that it held."""

    server: str
    held: HeldStream
    seq: int


@dataclass
class Seen:
    """The actions of all servers, in order."""

    sent: list[Sent] = field(default_factory=list)
    open_sources: list[Source] = field(default_factory=list)
    left_tasks: list[str] = field(default_factory=list)


class Pictures(Source):
    """A camera or a film of grey pictures, RATE per second; closing it takes up to ``slow``
    seconds."""

    def __init__(self, is_film: bool, start: Fraction | None, slow: float, seen: Seen) -> None:
        self.live = not is_film
        self._first = int((start or 0) * RATE)
        self._slow = slow
        self._seen = seen
        self._closed = False
        seen.open_sources.append(self)

    async def __aiter__(self) -> AsyncIterator[Frame]:
        number = self._first
        while True:
            pixels = np.full((16, 32, 3), number % 7, np.uint8)
            yield Frame(pixels, number, Fraction(number, RATE), (16, 32), arrived=time.monotonic())
            number += 1
            if self.live:
                await asyncio.sleep(1 / RATE)

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            await asyncio.sleep(self._slow)
            self._seen.open_sources.remove(self)


class WatchedStreams(LiveStreams):
    """Records every mask that leaves a stream."""

    name: str
    seen: Seen

    def _begin(
        self, definition: StreamDefinition, held: HeldStream, takeover: Takeover | None = None
    ) -> PulledStream:
        stream = super()._begin(definition, held, takeover)
        whole = stream.viewers._on_mask

        def on_mask(mask: Mask) -> None:
            self.seen.sent.append(Sent(self.name, held, mask.frame.seq))
            whole(mask)

        stream.viewers._on_mask = on_mask
        return stream


class OwnerThread:
    """One server. Mutable state: its thread, its loop and its streams while it runs."""

    def __init__(
        self, name: str, url: str, terms: Terms, times: Times, seen: Seen, chance: random.Random
    ) -> None:
        self.name = name
        self._url, self._terms, self._times = url, terms, times
        self._seen, self._chance = seen, chance
        self._may_go_on = threading.Event()
        self._is_draining = False
        self._thread: threading.Thread | None = None
        self.streams: WatchedStreams

    @property
    def runs(self) -> bool:
        return self._thread is not None

    @property
    def is_healthy(self) -> bool:
        """Return whether it runs and is not frozen."""
        return self.runs and self._may_go_on.is_set()

    def begin(self) -> None:
        """Start, under the name of an earlier one; return once streams are pulled."""
        started = threading.Event()
        self._may_go_on.set()
        self._is_draining = False
        self._thread = threading.Thread(target=asyncio.run, args=(self._main(started),))
        self._thread.start()
        assert started.wait(PATIENCE)

    def names(self) -> list[str]:
        """Return the streams that this server has."""
        return [one.name for one in self.streams._running]

    def add(self, definition: StreamDefinition) -> None:
        """Add a stream on this server."""
        self._do(self.streams.add(definition))

    def remove(self, name: str) -> None:
        """Remove a stream. Raises NotFound if this server does not have it."""
        self._do(self.streams.remove(name))

    def _do(self, what: Coroutine[Any, Any, object]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(PATIENCE)

    def freeze(self) -> None:
        """Do nothing more, and answer nothing, until :meth:`thaw`."""
        self._may_go_on.clear()
        self._loop.call_soon_threadsafe(self._may_go_on.wait)

    def thaw(self) -> None:
        """Continue as if no time had passed. Idempotent."""
        self._may_go_on.set()

    def kill(self) -> None:
        """End without a word to the database."""
        self._end(is_killed=True)

    def stop(self) -> None:
        """End in order."""
        self._end(is_killed=False)

    def _end(self, *, is_killed: bool) -> None:
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._ending.set_result, is_killed)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        self._thread = None

    async def _main(self, started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._ending: asyncio.Future[bool] = self._loop.create_future()
        worker = Worker(lambda: FakeEngine(SPEC))
        await worker.start()
        with closing(Database(self._url)) as database:
            membership = Membership(
                self.name, OwnerRows(database), self._presence, self._times, chance=lambda: 0.5
            )
            rows = StreamRows(database, Seal(lambda: b"a" * 64))
            ownership = Ownership(rows, membership, self._terms)
            self.streams = WatchedStreams(self._services(worker), ownership, Limit("streams"))
            self.streams.name, self.streams.seen = self.name, self._seen
            await membership.start()
            await self.streams.start()
            started.set()
            if await self._ending:
                await _abandon(self.streams, ownership, membership)
            else:
                self._is_draining = True
                await membership.report_now()
                await self.streams.drain()
                await self.streams.stop()
                await membership.stop()
        await worker.stop()
        self._seen.left_tasks += [
            task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()
        ]

    def _presence(self) -> Presence:
        held = len(self.streams)
        return Presence(None, "node", "fake", held, ROOM - held, self._is_draining)

    def _services(self, worker: Worker) -> PulledServices:
        def open_source(
            definition: StreamDefinition, _: ModelSpec, start: Fraction | None = None, /
        ) -> Source:
            return Pictures(definition.is_file, start, self._chance.uniform(0, 0.3), self._seen)

        rules = Rules(connect=60.0, stall=60.0)
        return PulledServices(
            worker, open_source, rules, time.monotonic, time.time, self._chance.random
        )


async def _abandon(streams: LiveStreams, ownership: Ownership, membership: Membership) -> None:
    """Leave everything as a process that was killed would, but close what this one has open."""
    assert membership._task is not None
    tasks = [*streams._tending, membership._task]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await asyncio.gather(*(one.end() for one in streams._running))
    await streams._running.lost_have_ended()
    await ownership.close()
    await membership._disk.close()
