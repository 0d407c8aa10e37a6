"""Videos pause before the disk is full and continue when it has room."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from server.videos import disk_space
from server.videos.disk_space import DiskSpace, enough, free_bytes

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("free", "paused", "room"),
    [(99, False, False), (100, False, True), (199, True, False), (200, True, True)],
)
def test_a_pause_ends_only_at_twice_the_space_at_which_it_begins(
    free: int, paused: bool, room: bool
) -> None:
    assert enough(free, 100, paused=paused) is room


def test_the_free_space_is_that_of_the_folders_disk(tmp_path: Path) -> None:
    assert free_bytes(tmp_path) > 0


async def test_who_waits_continues_as_soon_as_there_is_room(tmp_path: Path) -> None:
    free = [50]
    space = DiskSpace(tmp_path, 100, lambda _: free[-1])
    await space.wait_for_room()
    await space.look()
    assert space.paused and space.reason == disk_space.REASON
    waiting = asyncio.create_task(space.wait_for_room())
    free.append(150)
    await space.look()
    await asyncio.sleep(0)
    assert not waiting.done()
    free.append(200)
    await space.look()
    await waiting
    assert space.reason is None


async def test_a_failed_write_pauses_until_the_next_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_space, "POLL_SECONDS", 0.01)
    space = DiskSpace(tmp_path, 0, lambda _: 10**9)
    space.full()
    assert space.paused
    watching = asyncio.create_task(space.watch())
    await space.wait_for_room()
    watching.cancel()


@pytest.mark.parametrize("error", [FileNotFoundError(), RuntimeError("can't start new thread")])
async def test_a_disk_that_cannot_be_asked_changes_nothing(
    error: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def measure(_: Path) -> int:
        raise error

    space = DiskSpace(tmp_path, 100, measure)
    space.full()
    await space.look()
    assert space.paused
    assert "unknown" in caplog.text
