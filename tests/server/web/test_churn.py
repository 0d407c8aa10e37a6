"""Streams that end in every possible way: afterwards nothing is left of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from living import Fresh, open_files, thread_names, without_collector
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

import protocol
from server.app import create_app
from server.commands import serve as listening
from server.engines.fake import FakeEngine, fake_spec
from server.frame import Frame, Mask
from server.scheduling.session import Session
from server.settings import Settings, StreamSettings
from server.sources.pictures.packets import Packet
from server.streams.client_messages import ClientMessages
from server.streams.frame_ledger import FrameLedger
from server.streams.inbox import Inbox
from server.streams.outbox import Outbox
from server.web.stream_socket import StreamSocket
from server.workers.delivery import Delivery

STREAM = (Session, Delivery, StreamSocket, ClientMessages, Inbox, Outbox, FrameLedger)
PICTURES = (Packet, Frame, Mask)
JPEG = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
ROUNDS = 12


Ending = Callable[[ClientConnection], Awaitable[None]]


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[int]:
    """The port of a whole server in this event loop; it gives up silent clients at once."""
    streams = StreamSettings(idle_seconds=0.5, open_seconds=0.2, resume_seconds=0.2)
    settings = Settings(folder=folder, port=0, streams=streams)
    app = create_app(settings, lambda: FakeEngine(fake_spec(16, 16)))
    server = listening.DrainingServer(listening._config(app, settings), app.state.service)
    with listening.bind("127.0.0.1", 0) as listener:
        running = asyncio.create_task(server._serve([listener]))
        try:
            while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
                await asyncio.sleep(0.01)
            await app.state.service.loaded()
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            await running


async def segmented(socket: ClientConnection) -> None:
    """Wait for the answers to some frames."""
    await socket.send(json.dumps({"type": "open", "policy": "every", "overlay": True}))
    for _ in range(3):
        await socket.send(JPEG)
        while isinstance(await socket.recv(), str):
            pass  # ready, twice if `open` was late


async def to_its_end(socket: ClientConnection) -> None:
    with suppress(ConnectionClosed):
        while True:
            await socket.recv()


async def end(socket: ClientConnection) -> None:
    await segmented(socket)
    await socket.send(json.dumps({"type": "end"}))
    await to_its_end(socket)


async def close(socket: ClientConnection) -> None:
    await segmented(socket)
    await socket.close()


async def abort(socket: ClientConnection) -> None:
    await segmented(socket)
    socket.transport.abort()


async def abort_unanswered(socket: ClientConnection) -> None:
    for _ in range(20):
        await socket.send(JPEG)
    socket.transport.abort()


async def bad_text(socket: ClientConnection) -> None:
    await segmented(socket)
    await socket.send("{")
    await to_its_end(socket)


async def bad_bytes(socket: ClientConnection) -> None:
    await socket.send(b"\xff" * 16)
    await to_its_end(socket)


async def seq_that_falls(socket: ClientConnection) -> None:
    await socket.send(protocol.pack({"seq": 2}, JPEG))
    await socket.send(protocol.pack({"seq": 1}, JPEG))
    await to_its_end(socket)


async def undecodable(socket: ClientConnection) -> None:
    await socket.send(protocol.pack({}, JPEG[:40]))
    await socket.send(json.dumps({"type": "end"}))
    await to_its_end(socket)


async def silence(socket: ClientConnection) -> None:
    await to_its_end(socket)
    assert socket.close_code == 4408


ENDINGS: tuple[Ending, ...] = (
    end, close, abort, abort_unanswered, bad_text, bad_bytes, seq_that_falls, undecodable, silence,
)  # fmt: skip


async def one_of_each(port: int) -> None:
    async def live(ending: Ending) -> None:
        address = f"ws://127.0.0.1:{port}/v1/stream"
        async with connect(address, compression=None, max_size=None) as socket:
            await ending(socket)

    async with asyncio.timeout(30):
        await asyncio.gather(*(live(ending) for ending in ENDINGS), turned_away(port))


async def turned_away(port: int) -> None:
    async with connect(f"ws://127.0.0.1:{port}/v1/stream?model=nobody") as socket:
        await to_its_end(socket)
        assert socket.close_code == 4404


async def until_quiet(is_quiet: Callable[[], bool]) -> None:
    """Wait until the server's side of the last connections has ended too."""
    with suppress(TimeoutError):
        async with asyncio.timeout(20):
            while not is_quiet():  # noqa: ASYNC110  nobody tells when an object dies
                await asyncio.sleep(0.02)


@pytest.mark.anyio
async def test_a_hundred_streams_leave_nothing_behind(tmp_path: Path) -> None:
    streams, pictures = Fresh(*STREAM), Fresh(*PICTURES)
    async with serving(tmp_path) as port:
        await one_of_each(port)
        await until_quiet(lambda: not streams.reachable())
        threads, files = thread_names(), open_files()
        for _ in range(ROUNDS):
            await one_of_each(port)
        await until_quiet(lambda: not streams.reachable() and open_files() == files)
        assert streams.reachable() | pictures.reachable() == {}
        assert (thread_names(), open_files()) == (threads, files)


@pytest.mark.anyio
async def test_no_picture_of_a_stream_waits_for_the_cyclic_collector(tmp_path: Path) -> None:
    streams, pictures = Fresh(*STREAM), Fresh(*PICTURES)
    async with serving(tmp_path) as port:
        await one_of_each(port)
        await until_quiet(lambda: not streams.reachable())
        with without_collector():
            await one_of_each(port)
            await until_quiet(lambda: not pictures.alive())
            assert pictures.alive() == {}
