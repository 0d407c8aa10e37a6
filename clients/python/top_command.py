"""``mastream top``: a server's streams, rates, latencies and memory in the terminal, live."""

from __future__ import annotations

import asyncio
import time
from argparse import Namespace

import httpx
from rich.console import Console
from rich.live import Live

from clients.python.addresses import web_address
from clients.python.camera import Camera
from clients.python.errors import NotOurs
from clients.python.exposition import Exposition
from clients.python.foreign import checked_answer, json_of, web_errors
from clients.python.keys import with_key
from clients.python.top_view import Snapshot, view

PLAIN_WIDTH = 200
"""Width of output that is not written to a terminal, in columns."""

TIMEOUT_SECONDS = 10.0


def run(args: Namespace, _rest: list[str]) -> int:
    """Show a server until interrupted, or once, and return the exit code."""
    asyncio.run(_show(args))
    return 0


class Reader:
    """Reads a server's state. Mutable state: the metrics that were read last."""

    def __init__(self, url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = web_address(url)
        self._http = httpx.AsyncClient(
            base_url=self._url, headers=with_key(None), timeout=TIMEOUT_SECONDS, transport=transport
        )
        self._before: Exposition | None = None

    async def close(self) -> None:
        await self._http.aclose()

    async def read(self) -> Snapshot:
        """Return the server's state, with figures since the last call; the first call returns
        figures since the server's start. Raises a ClientError."""
        paths = ("/v1/server", "/v1/capacity", "/v1/streams", "/metrics")
        server, capacity, streams, metrics = [await self._text(path) for path in paths]
        now = Exposition.read(metrics, time.monotonic())
        before, self._before = self._before, now
        try:
            uptime = float(json_of(server)["uptime"])
            return Snapshot(
                json_of(server),
                json_of(capacity),
                [Camera.from_dict(one) for one in json_of(streams)["streams"]],
                before or Exposition({}, now.at - uptime),
                now,
            )
        except (KeyError, TypeError) as error:
            raise NotOurs(f"The server's answer is not its state: {error!r}.") from error

    async def _text(self, path: str) -> str:
        with web_errors(self._url):
            answer = await self._http.get(path)
        return checked_answer(answer, self._url).text


async def _show(args: Namespace) -> None:
    reader = Reader(args.url)
    try:
        await (_once(reader) if args.once else _refresh(reader, args.interval))
    finally:
        await reader.close()


async def _once(reader: Reader) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    console.print(view(await reader.read()))


async def _refresh(reader: Reader, interval: float) -> None:
    with Live(screen=True, auto_refresh=False) as live:
        while True:
            live.update(view(await reader.read()), refresh=True)
            await asyncio.sleep(interval)
