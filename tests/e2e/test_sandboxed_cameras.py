"""A real server that decodes cameras and videos in the sandbox."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from cameras import Camera
from clips import make_clip

from clients.python import Cameras
from server.sources.sandbox.process import CHILD
from server.sources.sandbox.system_calls import architecture

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(architecture() is None, reason="no sandbox on this machine"),
]


def decoders(server: int) -> set[int]:
    """The decoders that a server has started."""
    tasks = Path(f"/proc/{server}/task").glob("*/children")
    found = {int(pid) for task in tasks for pid in task.read_text().split()}
    return {pid for pid in found if CHILD in Path(f"/proc/{pid}/cmdline").read_text()}


async def some_masks(cameras: Cameras, name: str) -> None:
    async with aclosing(cameras.watch(name)) as masks:
        for _ in range(3):
            await anext(masks)


async def test_cameras_and_films_are_decoded_by_processes_that_may_die(
    run_server: Any, camera: Callable[..., Camera], tmp_path: Path
) -> None:
    make_clip(tmp_path / "film.mp4")
    one = camera(fps=25)
    sandbox = {"decode__sandbox": "true", "decode__sandbox_cameras": "true"}
    live = {"live__files": str(tmp_path), "live__backoff_seconds": "0.1"}
    with run_server(**sandbox, **live) as server:
        async with Cameras(server.http) as cameras:
            await cameras.add("film", "file:///film.mp4", loop=True)
            await cameras.add("gate", one.url)
            for name in ("film", "gate"):
                await some_masks(cameras, name)
            before = decoders(server.process.pid)
            assert before
            for decoder in before:
                os.kill(decoder, signal.SIGKILL)
            for name in ("film", "gate"):
                await some_masks(cameras, name)
            assert decoders(server.process.pid) - before
            for name in ("film", "gate"):
                await cameras.remove(name)
