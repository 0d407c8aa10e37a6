"""GET /v1/stream: the stream socket's door, and all who are inside."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from protocol import SUBPROTOCOL
from server.changes import Changes
from server.errors import BadRequest, Draining, MastreamError, NoCapacity, NotFound
from server.streams.ending import ending_of
from server.web.stream_socket import StreamServices, StreamSocket, say
from server.workers.worker import WorkerState


class Streams:
    """The open conversations. Mutable state: who they are, and whether the door is shut."""

    def __init__(self, services: StreamServices) -> None:
        self._services = services
        self._inside: set[StreamSocket] = set()
        self._changes = Changes()
        self.draining = False

    def __len__(self) -> int:
        return len(self._inside)

    async def welcome(self, socket: WebSocket, model: str | None) -> None:
        """Accept a socket and talk until it ends; refusals too are told on the open socket."""
        offered = socket.scope["subprotocols"]
        await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        try:
            self._check(offered, model)
        except MastreamError as error:
            self._services.metrics.rejected(error.code)
            await say(socket, ending_of(error), self._services.settings.slow_seconds)
        else:
            await self._talk(socket)

    async def drain(self) -> None:
        """Shut the door and wait until everybody inside has their answers and is gone."""
        self.draining = True
        for socket_of_stream in self._inside:
            socket_of_stream.leave()
        await self._changes.until(lambda: not self._inside)

    async def _talk(self, socket: WebSocket) -> None:
        socket_of_stream = StreamSocket(socket, self._services)
        self._inside.add(socket_of_stream)
        try:
            await socket_of_stream.run()
        finally:
            self._inside.discard(socket_of_stream)
            self._changes.notify()

    def _check(self, offered: list[str], model: str | None) -> None:
        if self.draining:
            raise Draining("the server is about to stop; connect again in a moment")
        if offered and SUBPROTOCOL not in offered:
            raise BadRequest(f"offer the sub-protocol {SUBPROTOCOL}, or none")
        if self._services.worker.state is WorkerState.STARTING:
            raise NoCapacity("the model is still being loaded; connect again in a moment")
        served = self._services.worker.spec.name
        if model is not None and model != served:
            raise NotFound(f"no model is called {model[:80]!r}; {served!r} is served here")


def stream_router(streams: Streams) -> APIRouter:
    """The route of the stream socket."""
    router = APIRouter(prefix="/v1")

    @router.websocket("/stream")
    async def stream(socket: WebSocket, model: str | None = None) -> None:
        await streams.welcome(socket, model)

    return router
