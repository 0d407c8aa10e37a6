"""GET /v1/stream: accepts stream sockets, or refuses them, and keeps track of the open ones."""

from __future__ import annotations

from fastapi import APIRouter, WebSocket

from protocol import SUBPROTOCOL
from server.changes import Changes
from server.errors import BadRequest, Draining, MastreamError, NoCapacity, NotFound
from server.streams.ending import refusal
from server.web.access.auth import client_of
from server.web.socket_ending import send_ending
from server.web.stream_services import StreamServices
from server.web.stream_socket import StreamSocket
from server.workers.worker import WorkerState


class Streams:
    """All stream sockets. Mutable state: those that are open, and whether new ones are refused."""

    def __init__(self, services: StreamServices) -> None:
        self._services = services
        self._open: set[StreamSocket] = set()
        self._changes = Changes()
        self.draining = False

    def __len__(self) -> int:
        return len(self._open)

    async def serve(self, socket: WebSocket, model: str | None, record: str | None) -> None:
        """Accept a socket and serve it until it ends; a refusal is sent on the open socket, too.

        ``model`` and ``record`` are its query.
        """
        offered = socket.scope["subprotocols"]
        await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
        try:
            self._check(offered, model)
            is_recorded = self._is_recorded(record)
        except MastreamError as error:
            self._services.metrics.rejected(error.code)
            last = refusal(error, self._services.elsewhere())
            await send_ending(socket, last, self._services.settings.slow_seconds)
        else:
            await self._run(socket, is_recorded)

    async def drain(self) -> None:
        """Refuse new sockets and wait until those that are open have been answered and closed."""
        self.draining = True
        for stream_socket in self._open:
            stream_socket.leave()
        await self._changes.until(lambda: not self._open)

    async def _run(self, socket: WebSocket, is_recorded: bool) -> None:
        stream_socket = StreamSocket(socket, self._services, is_recorded, client_of(socket))
        self._open.add(stream_socket)
        try:
            await stream_socket.run()
        finally:
            self._open.discard(stream_socket)
            self._changes.notify()

    def _check(self, offered: list[str], model: str | None) -> None:
        if self.draining:
            raise Draining("The server is about to stop; connect again in a moment.")
        if offered and SUBPROTOCOL not in offered:
            raise BadRequest(f"Offer the sub-protocol {SUBPROTOCOL}, or none.")
        if self._services.worker.state is WorkerState.STARTING:
            raise NoCapacity("The model is still being loaded; connect again in a moment.")
        served = self._services.worker.spec.name
        if model is not None and model != served:
            raise NotFound(f"There is no model {model[:80]!r}; this server serves {served!r}.")

    def _is_recorded(self, wish: str | None) -> bool:
        """Return whether to record a stream. Raises BadRequest if this server does not record, or
        if the query is not valid."""
        if wish not in (None, "0", "1"):
            raise BadRequest("The query's field record must be 0 or 1.")
        if wish != "1":
            return False
        if self._services.recordings is None:
            raise BadRequest("This server does not record streams.")
        self._services.recordings.check_allowed()
        return True


def stream_router(streams: Streams) -> APIRouter:
    """Return the route of the stream socket."""
    router = APIRouter(prefix="/v1")

    @router.websocket("/stream")
    async def stream(
        socket: WebSocket, model: str | None = None, record: str | None = None
    ) -> None:
        await streams.serve(socket, model, record)

    return router
