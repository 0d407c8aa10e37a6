"""Viewers of a pulled stream whose sockets send nothing: the whole cost of a viewer except
sending."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, ParamSpec, TypeVar, cast

from starlette.websockets import WebSocket

from server.streams.pulled import PulledStream
from server.threads import PicturePool
from server.web.live.service import LiveService
from server.web.live.viewer_socket import ViewerSocket

P = ParamSpec("P")
R = TypeVar("R")

OPEN = '{"type": "open", "output": "png", "size": "input"}'


class CountingPool(PicturePool):
    """Wraps a pool and counts how often it ran something."""

    def __init__(self, pool: PicturePool) -> None:
        self._pool = pool
        self.runs = 0

    async def run(self, cost: float, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        self.runs += 1
        return await self._pool.run(cost, work, *args, **kwargs)

    def close(self) -> None:
        self._pool.close()


class _SilentSocket:
    """Sends ``open`` and then nothing; discards all messages sent to it."""

    def __init__(self) -> None:
        self._has_opened = False

    async def receive(self) -> dict[str, Any]:
        if self._has_opened:
            await asyncio.Event().wait()
        self._has_opened = True
        return {"type": "websocket.receive", "text": OPEN}

    async def send(self, _: Any) -> None:
        return


@asynccontextmanager
async def watched(live: LiveService, stream: PulledStream, number: int) -> AsyncIterator[None]:
    """Let this many viewers watch a stream."""
    tasks = [asyncio.create_task(_view(live, stream)) for _ in range(number)]
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _view(live: LiveService, stream: PulledStream) -> None:
    socket = cast("WebSocket", _SilentSocket())
    await ViewerSocket(socket, stream, live.renditions(stream), live.viewers).run()
