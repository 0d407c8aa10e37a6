"""A large upload over a connection that is cut again and again, and a server that is killed."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from clips import make_clip
from cutting_proxy import cutting_proxy

from clients.python.videos import Videos

pytestmark = pytest.mark.anyio

PADDING = 220 * 10**6
CUTS = 20


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A short video with a box of random bytes that players skip, of more than 200 MB in all."""
    path = make_clip(tmp_path / "film.mp4", frames=1)
    with path.open("ab") as file:
        file.write(struct.pack(">I4s", PADDING + 8, b"free"))
        file.write(os.urandom(PADDING))
    return path


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def test_every_byte_arrives_over_cuts_and_through_a_kill(
    film: Path, tmp_path: Path, run_server: Callable[..., object]
) -> None:
    with ExitStack() as servers:
        server = servers.enter_context(run_server())  # type: ignore[arg-type]
        port = int(server.address.rpartition(":")[2])

        def kill_at_half(left: int) -> None:
            nonlocal server
            if left == CUTS // 2:
                server.process.kill()
                server.process.wait()
                server = servers.enter_context(run_server())  # type: ignore[arg-type]
                proxy.target = int(server.address.rpartition(":")[2])

        async with cutting_proxy(port, CUTS, PADDING // (CUTS + 1)) as proxy:
            proxy.on_cut = kill_at_half
            reported: list[int] = []
            async with Videos(f"http://127.0.0.1:{proxy.port}") as videos:
                video = await videos.upload(film, on_bytes=reported.append)
                done = await videos.finished(video, lambda _: None)
        assert proxy.cuts == 0
        assert sum(reported) == film.stat().st_size
        assert done.done == 1
        assert sha256(tmp_path / "data" / "videos" / video.id / "upload") == sha256(film)
        async with httpx.AsyncClient() as http:
            listed = (await http.get(f"{server.http}/v1/videos")).json()["videos"]
        assert [one["id"] for one in listed] == [video.id]
