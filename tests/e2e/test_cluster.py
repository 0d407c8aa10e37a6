"""Three real servers on one PostgreSQL: killed, frozen and updated under load.

``MASTREAM_TEST_ROUNDS`` repeats each death; one round by default.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import make_clip
from cluster_process import (
    PATIENCE,
    Cluster,
    ask,
    eventually,
    has_ended,
    knows,
    results,
    upload,
)
from server_process import RunningServer

from clients.python import Backoff, connect

pytestmark = pytest.mark.anyio

ROUNDS = int(os.environ.get("MASTREAM_TEST_ROUNDS", "1"))
FRAMES = 240
QUICK = Backoff(first=0.05, longest=0.5, give_up=60.0)
NAMES = [f"cam{number}" for number in range(6)]
PUSHED = 6
VIDEO_FRAMES = 400


@pytest.fixture(autouse=True)
def film(cluster: Cluster) -> None:
    make_clip(cluster.folder / "film.mp4", 50, (96, 72))


def owned(server: RunningServer) -> list[str]:
    return [one["name"] for one in ask(server, "/v1/streams")["streams"]]


def divided(servers: list[RunningServer]) -> dict[str, int]:
    """Return how many servers have each stream."""
    found = [name for server in servers for name in owned(server)]
    return {name: found.count(name) for name in NAMES}


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
    """Return the masks of all frames in order; each frame was answered once."""
    async with connect(server.http, policy="every", input="png", resume=QUICK) as stream:
        masks = [mask async for mask in stream.segment(pictures(at))]
        assert stream.ledger.answered_once
    assert [mask.seq for mask in masks] == list(range(FRAMES))
    return [mask.labels.tobytes() for mask in masks if mask.labels is not None]


async def remove_cameras(server: RunningServer) -> None:
    for name in NAMES:
        await asyncio.to_thread(ask, server, f"/v1/streams/{name}", None, "DELETE")


async def video_of(server: RunningServer, clip: Path) -> dict[str, Any]:
    """The results of a video that nothing disturbs."""
    video = await asyncio.to_thread(upload, server, clip)
    assert await eventually(lambda: has_ended(server, video)) == "succeeded"
    return await asyncio.to_thread(results, server, video)


@pytest.mark.timeout(240 + 100 * ROUNDS)
async def test_a_server_that_is_killed_loses_no_frame_no_stream_and_no_video(
    cluster: Cluster,
) -> None:
    """The entry is full and sends streams to the server with the most room, which is killed."""
    cluster.settings = {"videos__piece_frames": "25"}
    clip = make_clip(cluster.folder / "clip.mp4", VIDEO_FRAMES, (96, 72), keys=25)
    entry = cluster.start("entry", streams__max_sessions="1")
    first, second = cluster.start("a", streams__max_sessions="200"), cluster.start("b")
    unbroken, undisturbed = await segmented(second), await video_of(second, clip)
    for _ in range(ROUNDS):
        await knows(entry, 3)
        async with connect(entry.http):  # takes the only place of the entry
            await add_cameras(first)
            video = await asyncio.to_thread(upload, first, clip)

            def kill(number: int, first: RunningServer = first) -> None:
                if number == FRAMES // 3:
                    first.process.kill()

            pushed = [segmented(entry, kill if number == 0 else None) for number in range(PUSHED)]
            assert await asyncio.gather(*pushed) == [unbroken] * PUSHED
            await eventually(lambda: set(divided([second]).values()) == {1})
            await remove_cameras(second)
            ended = partial(has_ended, second, video)
            assert await eventually(ended, 90) == "succeeded"
            assert await asyncio.to_thread(results, second, video) == undisturbed
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
