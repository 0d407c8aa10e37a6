"""A stream that survives its connections and its server: every mask is that of the unbroken
stream."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from typing import Any

import numpy as np
import pytest
from ports import free_port

from mastream import Backoff, Lost, Resumed, connect
from protocol import MemoryState

pytestmark = pytest.mark.anyio

FRAMES, HEIGHT, WIDTH = 40, 48, 64
BACKOFF = Backoff(first=0.05, longest=0.5, give_up=50.0)

Masks = list[tuple[int, bytes]]


def frames() -> Iterator[np.ndarray[Any, np.dtype[np.uint8]]]:
    drawn = np.random.default_rng(7)
    for _ in range(FRAMES):
        yield drawn.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


async def streamed(
    url: str, on_mask: Callable[[int], None] = lambda _: None, **options: Any
) -> tuple[Masks, list[Lost | Resumed]]:
    """All masks, and the events; ``on_mask`` is called with the number of masks so far."""
    masks: Masks = []
    events: list[Lost | Resumed] = []
    wish: dict[str, Any] = {"input": "rgb24", "width": WIDTH, "height": HEIGHT, "output": "raw"}
    wish |= {"policy": "every", "resume": BACKOFF, "on_event": events.append}
    async with connect(url, **wish | options) as stream:
        async for mask in stream.segment(frames()):
            assert mask.labels is not None
            masks.append((mask.seq, mask.labels.tobytes()))
            on_mask(len(masks))
        assert stream.ledger.answered_once
    return masks, events


def found(events: list[Lost | Resumed]) -> list[MemoryState]:
    return [one.memory for one in events if isinstance(one, Resumed)]


@pytest.mark.parametrize("kills", [(1,), (17,), (9, 10, 30), (FRAMES,)])
async def test_after_a_kill_and_a_restart_every_mask_is_as_in_the_unbroken_stream(
    run_server: Any, server: Any, kills: tuple[int, ...]
) -> None:
    port = str(free_port())
    with ExitStack() as stack:
        running = [stack.enter_context(run_server("--port", port, engine__fake_step_ms="5"))]

        def kill(count: int) -> None:
            if count in kills:
                running[-1].process.kill()
                running[-1].process.wait()
                running.append(stack.enter_context(run_server("--port", port)))

        masks, events = await streamed(running[0].http, kill)
    whole, _ = await streamed(server.http)
    assert [seq for seq, _ in masks] == list(range(FRAMES))
    assert masks == whole
    assert set(found(events)) == ({MemoryState.REBUILT} if kills[0] < FRAMES else set())
    assert len(running) == 1 + len(kills)


async def test_a_server_that_is_stopped_and_started_again_loses_nothing(
    run_server: Any, server: Any
) -> None:
    port = str(free_port())
    with ExitStack() as stack:
        running = [stack.enter_context(run_server("--port", port, engine__fake_step_ms="20"))]

        def stop(count: int) -> None:
            if count == 12:
                running[0].process.send_signal(signal.SIGTERM)
            if count == 13:
                running[0].process.wait()
                running.append(stack.enter_context(run_server("--port", port)))

        masks, events = await streamed(running[0].http, stop)
    assert masks == (await streamed(server.http))[0]
    assert found(events) == [MemoryState.REBUILT]


@asynccontextmanager
async def cutting_proxy(
    server: Any, down: list[int | None], up: list[int | None]
) -> AsyncIterator[str]:
    """A proxy to the server that cuts its n-th connection after ``down[n]`` bytes of the server's,
    or ``up[n]`` of the client's: in the middle of a message, as a rule."""
    host, port = server.address.split(":")
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        limits = [queue.pop(0) if queue else None for queue in (down, up)]
        pumps = [
            asyncio.create_task(pump(far_reader, writer, limits[0])),
            asyncio.create_task(pump(reader, far_writer, limits[1])),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in pumps:
                one.cancel()
            await asyncio.wait(pumps)
            writer.transport.abort()
            far_writer.transport.abort()
            tasks.discard(task)

    async def pump(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None
    ) -> None:
        left = 2**60 if limit is None else limit
        with suppress(ConnectionError):
            while left and (data := await reader.read(min(left, 4096))):
                writer.write(data)
                await writer.drain()
                left -= len(data)

    proxy = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
    finally:
        proxy.close()
        for task in [*tasks]:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


@pytest.mark.parametrize(
    ("down", "up"),
    [
        ([20_000], []),
        ([20_000, 9_000, 31_007, 12_345], []),
        ([], [100_000]),
        ([], [30_001, 77_777, 50_000]),
        ([None, 15_000], [40_000, None, 60_000]),
        ([4_000, 4_000, 4_001, 4_100, 5_000], []),
    ],
)
async def test_a_connection_that_is_cut_in_mid_message_loses_nothing(
    server: Any, down: list[int | None], up: list[int | None]
) -> None:
    async with cutting_proxy(server, [*down], [*up]) as url:
        masks, events = await streamed(url)
    assert [seq for seq, _ in masks] == list(range(FRAMES))
    assert masks == (await streamed(server.http))[0]
    assert found(events) == [MemoryState.INTACT] * max(len(down), len(up))


async def test_jpegs_and_palettes_survive_too(server: Any) -> None:
    wish = {"input": "jpeg", "width": None, "height": None, "output": "png"}
    async with cutting_proxy(server, [12_000, 9_000], []) as url:
        masks, events = await streamed(url, **wish)
    assert masks == (await streamed(server.http, **wish))[0]
    assert found(events) == [MemoryState.INTACT] * 2
