"""Three real servers on one PostgreSQL: killed, frozen and updated under load.

``MASTREAM_TEST_ROUNDS`` repeats each death; one round by default.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import make_clip
from server_process import RunningServer, server_process

from clients.python import Backoff, connect

pytestmark = pytest.mark.anyio

ROUNDS = int(os.environ.get("MASTREAM_TEST_ROUNDS", "1"))
PATIENCE = 40.0
FRAMES = 240
QUICK = Backoff(first=0.05, longest=0.5, give_up=60.0)
NAMES = [f"cam{number}" for number in range(6)]


class Cluster:
    """Servers by name, each with its folder and a port that it keeps across restarts."""

    def __init__(self, folder: Path, database: str) -> None:
        self.folder, self.database = folder, database
        self.servers: dict[str, RunningServer] = {}
        self._ports: dict[str, int] = {}
        self._stack = ExitStack()

    def start(self, name: str, **settings: str) -> RunningServer:
        port = self._ports.setdefault(name, free_port())
        self.servers[name] = self._stack.enter_context(
            server_process(
                self.folder / name,
                "--port",
                str(port),
                videos__database=self.database,
                live__files=str(self.folder),
                security__secret="the same for all servers",
                cluster__advertise=f"http://127.0.0.1:{port}",
                cluster__node=name,
                **settings,
            )
        )
        return self.servers[name]

    def close(self) -> None:
        self._stack.close()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture
def cluster(tmp_path: Path, postgres_url: str) -> Iterator[Cluster]:
    make_clip(tmp_path / "film.mp4", 50, (96, 72))
    found = Cluster(tmp_path, postgres_url)
    yield found
    found.close()


def ask(server: RunningServer, path: str, body: Any = None, method: str | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    asked = urllib.request.Request(server.http + path, data, headers, method=method)
    with urllib.request.urlopen(asked, timeout=PATIENCE) as answer:
        return json.loads(answer.read() or b"null")


def owned(server: RunningServer) -> list[str]:
    return [one["name"] for one in ask(server, "/v1/streams")["streams"]]


def divided(servers: list[RunningServer]) -> dict[str, int]:
    """How many servers have each stream."""
    found = [name for server in servers for name in owned(server)]
    return {name: found.count(name) for name in NAMES}


async def eventually(find: Callable[[], Any]) -> Any:
    async with asyncio.timeout(PATIENCE):
        while True:
            if found := await asyncio.to_thread(find):
                return found
            await asyncio.sleep(0.05)


async def add_cameras(server: RunningServer) -> None:
    for name in NAMES:
        film = {"name": name, "url": "file:///film.mp4", "loop": True}
        await asyncio.to_thread(ask, server, "/v1/streams", film)


async def pictures(at: Callable[[int], Any] | None = None) -> AsyncIterator[np.ndarray]:
    """Frames that differ; ``at`` is called with the number of each."""
    for number in range(FRAMES):
        if at is not None:
            await asyncio.to_thread(at, number)
        await asyncio.sleep(0.01)
        yield np.random.default_rng(number).integers(0, 255, (72, 96, 3), np.uint8)


async def segmented(server: RunningServer, at: Callable[[int], Any] | None = None) -> list[bytes]:
    """The masks of all frames, each of which was answered once, in order."""
    async with connect(server.http, policy="every", input="png", resume=QUICK) as stream:
        masks = [mask async for mask in stream.segment(pictures(at))]
        assert stream.ledger.answered_once
    assert [mask.seq for mask in masks] == list(range(FRAMES))
    return [mask.labels.tobytes() for mask in masks if mask.labels is not None]


async def knows(server: RunningServer, count: int) -> None:
    await eventually(lambda: len(ask(server, "/v1/cluster")["servers"]) == count)


async def remove_cameras(server: RunningServer) -> None:
    for name in NAMES:
        await asyncio.to_thread(ask, server, f"/v1/streams/{name}", None, "DELETE")


@pytest.mark.timeout(200 + 40 * ROUNDS)
async def test_a_server_that_is_killed_loses_no_frame_and_no_stream(cluster: Cluster) -> None:
    """The entry is full and sends the stream to the server with the most room, which is killed."""
    entry = cluster.start("entry", streams__max_sessions="1")
    first, second = cluster.start("a", streams__max_sessions="200"), cluster.start("b")
    unbroken = await segmented(second)
    for _ in range(ROUNDS):
        await knows(entry, 3)
        async with connect(entry.http):  # takes the only place of the entry
            await add_cameras(first)

            def kill(number: int, first: RunningServer = first) -> None:
                if number == FRAMES // 3:
                    first.process.kill()

            assert await segmented(entry, kill) == unbroken
            await eventually(lambda: set(divided([second]).values()) == {1})
            await remove_cameras(second)
            first = cluster.start("a", streams__max_sessions="200")


@pytest.mark.timeout(240)
async def test_a_server_that_freezes_has_no_stream_when_it_wakes(cluster: Cluster) -> None:
    first, second = cluster.start("a"), cluster.start("b")
    await knows(first, 2)
    await add_cameras(first)
    before = owned(first)
    assert before
    first.process.send_signal(signal.SIGSTOP)
    try:
        await eventually(lambda: set(divided([second]).values()) == {1})
    finally:
        first.process.send_signal(signal.SIGCONT)
    for _ in range(20):
        assert set(divided([first, second]).values()) == {1}
        assert owned(first) == []


@pytest.mark.timeout(300)
async def test_an_update_of_all_servers_leaves_no_frame_unanswered(cluster: Cluster) -> None:
    names = ["a", "b", "c"]
    servers = [cluster.start(name) for name in names]
    await knows(servers[0], 3)
    unbroken = await segmented(servers[1])
    await add_cameras(servers[0])
    at = {FRAMES * (number + 1) // 5: name for number, name in enumerate(names)}

    def update(number: int) -> None:
        if name := at.get(number):
            process = cluster.servers[name].process
            process.terminate()
            assert process.wait(PATIENCE) == 0
            cluster.start(name)

    assert await segmented(servers[0], update) == unbroken
    now = list(cluster.servers.values())
    await eventually(lambda: set(divided(now).values()) == {1})
