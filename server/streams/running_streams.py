"""The pulled streams that run here, each with its task and the epoch in which it was taken."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextvars import Context

from server.database.streams import HeldStream
from server.streams.pulled import PulledStream
from server.streams.tending import cancelled, report_failure


class RunningStream:
    """One stream, and the row under which it was taken.

    ``changing`` is locked while the definition is changed, first in the row and then in the stream.
    Mutable state: the task that runs it, and the one that ends it, if any.
    """

    def __init__(self, held: HeldStream, stream: PulledStream) -> None:
        self.held = held
        self.stream = stream
        self.changing = asyncio.Lock()
        name = f"stream {held.name}"
        # In a separate context, so that its log lines do not name the request that added it.
        self._task = asyncio.create_task(stream.run(), name=name, context=Context())
        self._task.add_done_callback(report_failure)
        self._ending: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<RunningStream {self.held} {self.stream!r}>"

    @property
    def name(self) -> str:
        return self.held.name

    async def end(self) -> None:
        """End the stream; its source is closed and its viewers have ended when this returns.

        Idempotent: another call waits for the same end, since a second cancellation would interrupt
        it.
        """
        await asyncio.shield(self.begin_to_end())

    def begin_to_end(self) -> asyncio.Task[None]:
        """Return the task that ends the stream. Idempotent."""
        if self._ending is None:
            self._ending = asyncio.create_task(cancelled(self._task))
        return self._ending


class RunningStreams:
    """Mutable state: the streams by name, the oldest first, and the tasks that end lost streams,
    while a stream of the same name may already run."""

    def __init__(self) -> None:
        self._streams: dict[str, RunningStream] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<RunningStreams {list(self._streams)}>"

    def __len__(self) -> int:
        return len(self._streams)

    def __contains__(self, name: str) -> bool:
        return name in self._streams

    def __iter__(self) -> Iterator[RunningStream]:
        return iter(list(self._streams.values()))

    def find(self, name: str) -> RunningStream | None:
        """Return the stream with this name, None if it does not run here."""
        return self._streams.get(name)

    def begin(self, held: HeldStream, stream: PulledStream) -> None:
        """Run a stream from now on."""
        assert held.name not in self._streams, f"{held.name} runs already"
        self._streams[held.name] = RunningStream(held, stream)

    async def end(self, one: RunningStream) -> None:
        """Forget a stream, and end it."""
        self._forget(one)
        await one.end()

    def lose(self, one: RunningStream) -> None:
        """End a stream as if the server stopped, without affecting others."""
        self._forget(one)
        one.stream.leave()
        ending = one.begin_to_end()
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def lost_have_ended(self) -> None:
        """Wait until the streams that were lost have ended."""
        await asyncio.gather(*self._ending)

    def clear(self) -> None:
        """Forget all streams, which must have ended."""
        self._streams.clear()

    def _forget(self, one: RunningStream) -> None:
        if self._streams.get(one.name) is one:
            del self._streams[one.name]
