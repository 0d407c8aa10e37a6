"""The disk space that a server's process holds."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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


def noisy_clip(path: Path) -> bytes:
    """A clip whose results take megabytes."""
    noise = np.random.default_rng(1).integers(0, 256, (12, 240, 320, 3), np.uint8)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for number in range(48):
            picture = av.VideoFrame.from_ndarray(noise[number % 12], format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path.read_bytes()


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """A separate file system for a folder; the test is skipped if none may be mounted."""
    folder.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted: run as root")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


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


@pytest.mark.skipif(sys.platform != "linux", reason="no tmpfs: Linux only")
def test_a_full_disk_pauses_a_video_which_then_gives_the_same_results(
    tmp_path: Path, run_server: Any
) -> None:
    folder, filler = tmp_path / "data" / "videos", tmp_path / "data" / "videos" / "filler"
    clip = noisy_clip(tmp_path / "clip.mp4")
    settings = {"videos__min_free_bytes": "0", "videos__pause_free_bytes": "16384"}
    with small_disk(folder, 8 * len(clip)), run_server(**settings) as server:

        def state(link: str) -> Any:
            return httpx.get(link, timeout=PATIENCE).json()

        filler.write_bytes(bytes(shutil.disk_usage(folder).free - len(clip) - 300_000))
        link = posted(server, clip)
        eventually(lambda: state(link)["paused"] is not None)
        assert state(link)["state"] == "running"
        filler.unlink()
        eventually(lambda: state(link)["state"] == "succeeded")
        results = results_of(server.http, state(link))
        assert httpx.delete(link, timeout=PATIENCE).status_code == 204
        link = posted(server, clip)
        eventually(lambda: state(link)["state"] == "succeeded")
        assert results_of(server.http, state(link)) == results
        assert state(link)["paused"] is None


def results_of(server: str, video: Any) -> dict[str, bytes]:
    """Return the artefacts of a video that hold masks and pictures."""
    names = ("masks.mkv", "overlay.mp4", "masks.zip")
    return {n: httpx.get(server + video["links"][n], timeout=PATIENCE).content for n in names}


def test_results_expire(tmp_path: Path, run_server: Any) -> None:
    with run_server(videos__ttl_seconds="0.5") as server:
        link = posted(server, long_clip(tmp_path / "clip.mp4"))
        eventually(lambda: httpx.get(link, timeout=PATIENCE).status_code == 404)
        assert list((tmp_path / "data" / "videos").iterdir()) == []
