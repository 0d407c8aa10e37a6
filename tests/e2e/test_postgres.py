"""A server whose rows are in PostgreSQL."""

from __future__ import annotations

import json
import signal
import time
import urllib.request
from collections.abc import Callable
from http.client import HTTPMessage
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import av
import numpy as np
import pytest
from postgres_server import Postgres

PATIENCE = 60.0
OUTAGE_SECONDS = 12.0
"""More than the time-outs of a statement (10 s) and of a connection (5 s)."""
FRAMES = 1200


def write_clip(path: Path, frames: int = 5) -> bytes:
    with av.open(path, "w") as container:
        track = container.add_stream("mpeg4", rate=10)
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            picture = np.full((48, 64, 3), 40 * number % 256, np.uint8)
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(track.encode())
    return path.read_bytes()


def ask(url: str, body: bytes | None = None) -> dict[str, Any]:
    with urllib.request.urlopen(url, body, timeout=PATIENCE) as answer:
        told: dict[str, Any] = json.load(answer)
        return told


def refused(url: str, body: bytes | None = None) -> tuple[int, dict[str, Any], HTTPMessage]:
    """Return the status, problem and headers of a request that fails."""
    try:
        ask(url, body)
    except HTTPError as error:
        return error.code, json.load(error), error.headers
    raise AssertionError(f"{url} was answered")


def is_ready(url: str) -> bool:
    try:
        return bool(ask(f"{url}/health/ready")["status"] == "ready")
    except HTTPError:
        return False


def eventually(find: Callable[[], Any]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not find():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.05)


def test_a_video_outlives_the_server_and_a_restart_of_the_database(
    postgres: Postgres, run_server: Any, tmp_path: Path
) -> None:
    database = {"videos__database": postgres.add("served")}
    with run_server(**database) as first:
        video = ask(f"{first.http}/v1/videos?name=clip.mp4", write_clip(tmp_path / "clip.mp4"))
        mine = f"/v1/videos/{video['id']}"
        eventually(lambda: ask(first.http + mine)["state"] == "succeeded")
        postgres.stop()
        for path in (mine, "/v1/videos"):
            code, problem, headers = refused(first.http + path)
            assert (code, problem["code"], headers["Retry-After"]) == (503, "unavailable", "1")
        assert refused(f"{first.http}/health/ready")[1]["reasons"] == [
            "the database does not answer"
        ]
        postgres.start()
        eventually(lambda: is_ready(first.http))
        assert ask(first.http + mine)["state"] == "succeeded"
        first.process.send_signal(signal.SIGTERM)
        assert first.process.wait(PATIENCE) == 0
    with run_server(**database) as second:
        found = ask(second.http + mine)
        assert (found["state"], found["progress"]["frames_done"]) == ("succeeded", 5)
        assert found["name"] == "clip.mp4"


@pytest.mark.timeout(240)
def test_a_job_continues_in_a_server_whose_database_is_killed(
    postgres: Postgres, run_server: Any, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", FRAMES)
    small = {"engine__fake_height": "48", "engine__fake_width": "64", "engine__fake_step_ms": "10"}
    pieces = {"videos__piece_frames": "25", "videos__lanes": "2"}
    database = postgres.add("crashing")
    with run_server(videos__database=database, **pieces, **small) as server:
        video = ask(f"{server.http}/v1/videos", clip)
        mine = f"{server.http}/v1/videos/{video['id']}"
        for outage in (0.0, OUTAGE_SECONDS):
            eventually(lambda: ask(mine)["progress"]["frames_done"] > 0)
            assert ask(mine)["state"] == "running", "it is killed too late"
            postgres.kill()
            for url, body in ((mine, None), (f"{server.http}/v1/videos", clip)):
                code, problem, headers = refused(url, body)
                assert (code, problem["code"], headers["Retry-After"]) == (503, "unavailable", "1")
            time.sleep(outage)
            postgres.start()
            eventually(lambda: is_ready(server.http))
        eventually(lambda: ask(mine)["state"] != "running")
        again = ask(f"{server.http}/v1/videos", clip)
        undisturbed = f"{server.http}/v1/videos/{again['id']}"
        eventually(lambda: ask(undisturbed)["state"] == "succeeded")
        assert ask(mine)["state"] == "succeeded"
        for name in ("masks.mkv", "overlay.mp4", "masks.zip"):
            assert content(f"{mine}/{name}") == content(f"{undisturbed}/{name}"), name


def content(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
        found: bytes = answer.read()
        return found
