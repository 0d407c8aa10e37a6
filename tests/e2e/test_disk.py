"""What a server's process holds on the disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest

PATIENCE = 60.0


def long_clip(path: Path) -> bytes:
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in range(200):
            picture = np.full((48, 64, 3), level, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path.read_bytes()


def held(process: Any, folder: Path) -> set[str]:
    """Return the files below a folder that a process, or one of its children, has open."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    links = [fd for pid in (process.pid, *children) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    names = {str(fd.readlink()) for fd in links if fd.is_symlink()}
    return {name for name in names if name.startswith(f"{folder}/")}


def posted(server: Any, content: bytes) -> str:
    """Upload a video; return its address."""
    answer = httpx.post(f"{server.http}/v1/videos", content=content, timeout=PATIENCE)
    return f"{server.http}{answer.headers['Location']}"


def eventually(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc: Linux only")
def test_cancelling_a_running_video_frees_everything_at_once(
    tmp_path: Path, run_server: Any
) -> None:
    with run_server(engine__fake_step_ms="50") as server:
        folder = tmp_path / "data" / "videos"
        clip = long_clip(tmp_path / "clip.mp4")
        link = posted(server, clip)
        eventually(lambda: httpx.get(link, timeout=PATIENCE).json()["progress"]["frames_done"] > 10)
        assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) > len(clip)
        assert held(server.process, folder)
        assert httpx.delete(link, timeout=PATIENCE).status_code == 204
        assert list(folder.iterdir()) == []
        assert held(server.process, folder) == set()
        assert httpx.get(link, timeout=PATIENCE).json()["state"] == "cancelled"


def test_results_expire(tmp_path: Path, run_server: Any) -> None:
    with run_server(videos__ttl_seconds="0.5") as server:
        link = posted(server, long_clip(tmp_path / "clip.mp4"))
        eventually(lambda: httpx.get(link, timeout=PATIENCE).status_code == 404)
        assert list((tmp_path / "data" / "videos").iterdir()) == []
