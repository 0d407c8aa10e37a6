"""Three real servers on one PostgreSQL and one folder work on a video: killed, frozen, removed."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from clips import make_clip
from cluster_process import (
    PATIENCE,
    Cluster,
    ask,
    eventually,
    far,
    has_ended,
    knows,
    results,
    state,
    upload,
)
from server_process import RunningServer, server_process

from server.videos.ledger import SHARED

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(300)]

FRAMES, PIECE_FRAMES = 300, 25
LEAST_PIECES = 8
SETTINGS = {
    "engine__fake_height": "48",
    "engine__fake_width": "64",
    "engine__fake_step_ms": "40",
    "videos__piece_frames": str(PIECE_FRAMES),
    "videos__lanes": "1",
    "videos__min_free_bytes": "0",
    "videos__pause_free_bytes": "0",
}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "clip.mp4", FRAMES, (64, 48), keys=PIECE_FRAMES)


def pieces(server: RunningServer, result: str) -> int:
    """Return how many pieces had this result on one server."""
    with urllib.request.urlopen(f"{server.http}/metrics") as answer:
        told = answer.read().decode()
    found = re.search(rf'mastream_pieces_total{{result="{result}"}} (\d+)', told)
    return int(found[1]) if found else 0


@asynccontextmanager
async def following(server: RunningServer, video: str) -> AsyncIterator[list[Any]]:
    """The events of a video, as one server sends them during the block."""

    def read() -> None:
        address = f"{server.http}/v1/videos/{video}/events"
        with urllib.request.urlopen(address, timeout=PATIENCE) as answer:
            told.extend(json.loads(line[6:]) for line in answer if line.startswith(b"data: "))

    told: list[Any] = []
    reading = asyncio.create_task(asyncio.to_thread(read))
    yield told
    await reading


@pytest.fixture
def three(cluster: Cluster) -> list[RunningServer]:
    cluster.settings = SETTINGS
    return [cluster.start(name) for name in "abc"]


def has_worked(server: RunningServer, other: RunningServer, video: str, frames: int) -> bool:
    """Return whether a server has finished a piece, and all servers together this many frames."""
    return pieces(server, "done") > 0 and far(other, video) >= frames


async def undisturbed(folder: Path, clip: Path, **settings: str) -> dict[str, Any]:
    """The results of a video on one server with its own folder."""
    chosen = SETTINGS | settings | {"engine__fake_step_ms": "0"}
    with server_process(folder, **chosen) as server:
        video = upload(server, clip)
        assert await eventually(lambda: has_ended(server, video)) == "succeeded"
        return results(server, video)


async def test_servers_that_are_killed_change_no_byte(
    tmp_path: Path, three: list[RunningServer], clip: Path
) -> None:
    """First the one that received the video, then another one, in the middle of pieces."""
    a, b, c = three
    await knows(c, 3)
    video = upload(a, clip)
    async with following(c, video) as told:
        done = []
        for server, frames in ((a, FRAMES // 3), (b, FRAMES // 2)):
            await eventually(partial(has_worked, server, c, video, frames))
            done.append(await asyncio.to_thread(pieces, server, "done"))
            server.process.kill()
        assert await eventually(lambda: has_ended(c, video), 120) == "succeeded"
        done.append(await asyncio.to_thread(pieces, c, "done"))
    print("pieces by server:", done)
    assert all(done) and sum(done) <= told[-1]["pieces"]["total"]
    assert told[-1]["state"] == "succeeded"
    assert results(c, video) == await undisturbed(tmp_path / "alone", clip)


async def test_a_server_that_freezes_for_longer_than_its_lease_writes_nothing_that_counts(
    tmp_path: Path, three: list[RunningServer], clip: Path
) -> None:
    a, b, c = three
    await knows(c, 3)
    video = upload(a, clip)
    await eventually(lambda: pieces(b, "done") and far(a, video) >= FRAMES // 3)
    b.process.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(SHARED.lease + 1)  # others take what it has
        taken = [await asyncio.to_thread(far, c, video), has_ended(c, video)]
    finally:
        b.process.send_signal(signal.SIGCONT)
    print("when it woke:", taken)
    assert await eventually(lambda: has_ended(a, video), 120) == "succeeded"
    await eventually(lambda: pieces(b, "lost"))
    done = [pieces(server, "done") for server in three]
    print("pieces by server:", done)
    assert all(done) and LEAST_PIECES <= sum(done) == state(a, video)["pieces"]["total"]
    found = [results(server, video) for server in three]
    assert found[0] == found[1] == found[2] == await undisturbed(tmp_path / "alone", clip)


async def test_removed_on_any_server_a_video_is_gone_on_all(
    cluster: Cluster, three: list[RunningServer], clip: Path
) -> None:
    a, b, c = three
    await knows(c, 3)
    video = upload(a, clip)
    folder = cluster.folder / "videos" / "videos" / video
    await eventually(lambda: all(pieces(server, "done") for server in three))
    ask(b, f"/v1/videos/{video}", method="DELETE")
    assert {has_ended(server, video) for server in three} == {"cancelled"}
    await eventually(lambda: sum(pieces(server, "lost") for server in three) >= 2)
    await eventually(lambda: not folder.exists())
    ask(c, f"/v1/videos/{video}", method="DELETE")
    assert [ask(server, "/v1/videos")["videos"] for server in three] == [[], [], []]
    other = upload(b, clip)
    assert await eventually(lambda: has_ended(a, other)) == "succeeded"


async def test_servers_that_get_other_settings_one_after_another_mix_no_plans(
    tmp_path: Path, cluster: Cluster, clip: Path
) -> None:
    """Those with new settings leave the video to the others until none is left, and then begin it
    anew."""
    cluster.settings = SETTINGS | {"engine__fake_step_ms": "200"}
    a, b, c = [cluster.start(name) for name in "abc"]
    changed = {"videos__piece_frames": str(2 * PIECE_FRAMES)}

    async def restarted(name: str) -> RunningServer:
        process = cluster.servers[name].process
        process.terminate()
        await asyncio.to_thread(process.wait)
        start = partial(cluster.start, name, **changed, engine__fake_step_ms="40")
        return await asyncio.to_thread(start)

    await knows(c, 3)
    video = upload(a, clip)
    await eventually(lambda: all(pieces(server, "done") for server in (a, b, c)))
    b, c = await restarted("b"), await restarted("c")
    frames = far(a, video)
    await eventually(lambda: far(a, video) > frames)
    assert state(a, video)["pieces"]["total"] >= LEAST_PIECES
    assert [pieces(server, "done") for server in (b, c)] == [0, 0], "the video is a's alone"
    a = await restarted("a")
    assert await eventually(lambda: has_ended(b, video), 120) == "succeeded"
    done = [pieces(server, "done") for server in (a, b, c)]
    print("pieces by server:", done)
    assert sum(done) == state(a, video)["pieces"]["total"] < LEAST_PIECES
    assert results(c, video) == await undisturbed(tmp_path / "alone", clip, **changed)
