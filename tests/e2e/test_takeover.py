"""A playing file is taken over from a server that is killed, and from one that stops: its viewers
follow, and every mask is that of an unbroken stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from clips import make_clip
from cluster_process import Cluster, ask
from postgres_server import Postgres
from server_process import RunningServer
from watching import unbroken

from clients.python import Backoff, Cameras
from clients.python.reconnecting import Lost
from clients.python.viewing import Returned
from protocol import MemoryState
from server.engines.fake import fake_spec
from server.frame import host_pixels
from server.sources.container import ContainerSource

pytestmark = pytest.mark.anyio

PATIENCE = 60.0
FRAMES = 750
QUICK = Backoff(first=0.05, longest=0.2, give_up=60.0)
RATE = 25
ON_THE_WAY = 5
"""Masks that may be in transit to the viewer when the server ends."""

SPEC = fake_spec(48, 64)


@pytest.fixture
def servers(tmp_path: Path, cluster: Cluster) -> tuple[RunningServer, RunningServer]:
    """Two servers; the first one gets the file."""
    make_clip(tmp_path / "film.mp4", FRAMES, keys=40)
    size = {"engine__fake_height": str(SPEC.height), "engine__fake_width": str(SPEC.width)}
    return cluster.start("a", **size), cluster.start("b", **size)


def cluster_of(server: RunningServer) -> Any:
    return ask(server, "/v1/cluster")


async def expected(film: Path) -> list[bytes]:
    """The masks of all frames."""
    async with ContainerSource(film, SPEC.height, SPEC.width) as source:
        frames = [host_pixels(frame.pixels) async for frame in source]
    assert len(frames) == FRAMES
    return [labels.tobytes() for labels in unbroken(SPEC, frames)]


class Viewer:
    """What a viewer got: the numbers of its masks, and how many it had when it lost its server."""

    def __init__(self, masks: list[bytes]) -> None:
        self.masks = masks
        self.seen: list[int] = []
        self.before: int | None = None
        self.returned: Returned | None = None

    async def watch(self, cameras: Cameras) -> None:
        """Compare each mask until 50 have come from another server."""
        watching = cameras.watch("film", size="model", reconnect=QUICK, on_event=self._note)
        async with aclosing(watching) as masks:
            async for mask in masks:
                assert mask.labels is not None
                assert mask.labels.tobytes() == self.masks[mask.seq], mask.seq
                self.seen.append(mask.seq)
                if self.before is not None and len(self.seen) >= self.before + 50:
                    return

    async def has(self, count: int) -> None:
        while len(self.seen) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    def _note(self, event: object) -> None:
        if isinstance(event, Lost) and self.before is None:
            self.before = len(self.seen)
        if isinstance(event, Returned):
            self.returned = event


@pytest.mark.timeout(180)
@pytest.mark.parametrize("ending", ["killed", "stopped"])
async def test_viewers_follow_a_film_and_no_mask_differs(
    servers: tuple[RunningServer, RunningServer], tmp_path: Path, ending: str
) -> None:
    first, second = servers
    viewer = Viewer(await expected(tmp_path / "film.mp4"))
    async with Cameras(first.http) as one, Cameras(second.http) as other:
        await until(lambda: len(cluster_of(second)["servers"]) == 2)
        await one.add("film", "file:///film.mp4", on_cut="keep")
        await until(lambda: cluster_of(second)["streams"])
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as tasks:
            tasks.create_task(viewer.watch(other))
            await viewer.has(75)
            ended = time.time()
            first.process.kill() if ending == "killed" else first.process.terminate()
        async with aclosing(other.events("film")) as events:
            moved = await anext(one.data async for one in events if one.kind == "moved")
    assert viewer.before is not None
    before, after = viewer.seen[: viewer.before], viewer.seen[viewer.before :]
    assert before == sorted(set(before)) and after == sorted(set(after))
    assert moved["memory"] == "rebuilt"
    assert viewer.returned is not None and viewer.returned.memory is MemoryState.REBUILT
    assert moved["cause"] == ("expired" if ending == "killed" else "given_back")
    assert before[-1] - RATE - ON_THE_WAY <= moved["seq"] <= before[-1] + 1 + ON_THE_WAY
    print(f"{ending}: after {moved['at'] - ended:.2f} s, {before[-1] + 1 - moved['seq']} again")


def owned(server: RunningServer) -> set[str]:
    return {one["name"] for one in ask(server, "/v1/streams")["streams"]}


@pytest.mark.timeout(180)
async def test_streams_stay_where_they_were_when_the_database_returns(
    servers: tuple[RunningServer, RunningServer], postgres: Postgres
) -> None:
    await until(lambda: all(len(cluster_of(server)["servers"]) == 2 for server in servers))
    for number, server in enumerate((*servers, *servers)):
        async with Cameras(server.http) as cameras:
            await cameras.add(f"film{number}", "file:///film.mp4", loop=True)
    before = [owned(server) for server in servers]
    assert before == [{"film0", "film2"}, {"film1", "film3"}]
    await asyncio.to_thread(postgres.stop)
    try:
        await until(lambda: not any(owned(server) for server in servers))
    finally:
        await asyncio.to_thread(postgres.start)
    began = time.monotonic()
    await until(lambda: sum(len(owned(server)) for server in servers) == 4)
    print(f"all streams again after {time.monotonic() - began:.2f} s")
    assert [owned(server) for server in servers] == before
    changes = [one for one in cluster_of(servers[0])["changes"] if one["kind"] == "stream"]
    assert {one["server"] for one in changes if one["name"] == "film0"} <= {None, _name(servers[0])}


def _name(server: RunningServer) -> str:
    (name,) = [one["name"] for one in cluster_of(server)["servers"] if one["is_this"]]
    return str(name)


async def until(found: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not await asyncio.to_thread(found):  # noqa: ASYNC110  another process is waited for
            await asyncio.sleep(0.05)
