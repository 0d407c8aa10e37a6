"""Sending the frames of a stream in order, over one connection after the other."""

from __future__ import annotations

import asyncio
import time

from clients.python.backlog import Backlog
from clients.python.connection import Connection
from clients.python.ledger import Ledger
from clients.python.pictures import Frame, Pictures
from protocol import End, FrameHeader, pack


class Sending:
    """Sends pictures while fewer than a window of frames are unanswered.

    With ``keeps`` it adds each frame to the backlog, from which :meth:`resume` sends the frames
    that a new connection lacks. Mutable state: the connection that frames are sent to, whether it
    is usable, whether all pictures have been read, and the task that sends again.
    """

    def __init__(
        self, connection: Connection, ledger: Ledger, backlog: Backlog, keeps: bool
    ) -> None:
        self.has_ended = False
        """Whether there are no more pictures."""
        self._connection = connection
        self._ledger = ledger
        self._backlog = backlog
        self._keeps = keeps
        self._usable = True
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()
        """Held while frames are sent, so that they are sent in order."""
        self._again: asyncio.Task[None] | None = None

    async def run(self, pictures: Pictures) -> None:
        """Send all pictures, then ``end``, also if reading the pictures fails.

        Pictures are requested only when they can be sent, so live frames stay fresh.
        """
        try:
            async for frame, data in pictures:
                async with self._turn:
                    await self._send(frame, data)
                await self._wait_for_room()
        except Exception:
            await self._end()
            raise
        await self._end()

    def answered(self) -> None:
        """Let the next picture be sent if there is room: a frame was answered."""
        self._changed.set()

    async def pause(self) -> None:
        """Send nothing more until :meth:`resume`: the connection is lost. Idempotent."""
        self._usable = False
        if self._again is not None:
            self._again.cancel()
            await asyncio.wait([self._again])

    def resume(self, connection: Connection, rebuilds: bool) -> None:
        """Send to a new connection, beginning with the frames that rebuild the memory, if
        ``rebuilds``, and the frames that have no answer."""
        self._again = asyncio.create_task(self._send_again(connection, rebuilds))

    async def stop(self) -> None:
        """Stop sending again. Idempotent."""
        if self._again is not None:
            await cancelled(self._again)

    async def _end(self) -> None:
        self.has_ended = True
        async with self._turn:
            await self._connection.send(End())

    async def _send(self, frame: Frame, data: bytes) -> None:
        seq = self._ledger.send(frame, time.monotonic())
        header = FrameHeader(seq, frame.pts, frame.reset)
        if self._keeps:
            header = self._backlog.add(header, data)
        if not await self._connection.send_frame(pack(header, data)):
            self._usable = False

    async def _wait_for_room(self) -> None:
        while not self._usable or self._ledger.unanswered >= self._connection.ready.window:
            self._changed.clear()
            await self._changed.wait()

    async def _send_again(self, connection: Connection, rebuilds: bool) -> None:
        """Send the missing frames before all others, which wait for their turn."""
        async with self._turn:
            self._connection = connection
            replay = self._backlog.replay() if rebuilds else []
            for message in [*replay, *self._backlog.unanswered()]:
                await connection.send_frame(message)
            if self.has_ended:
                await connection.send(End())
        self._usable = True
        self._changed.set()


async def cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end; its error, if any, is of no interest any more."""
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()
