"""A server whose rows lie in PostgreSQL."""

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
import sqlalchemy as sql

PATIENCE = 60.0


def write_clip(path: Path) -> bytes:
    with av.open(path, "w") as container:
        track = container.add_stream("mpeg4", rate=10)
        track.width, track.height, track.pix_fmt = 64, 48, "yuv420p"
        for level in range(5):
            picture = np.full((48, 64, 3), 40 * level, np.uint8)
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(track.encode())
    return path.read_bytes()


def ask(url: str, body: bytes | None = None) -> dict[str, Any]:
    with urllib.request.urlopen(url, body, timeout=PATIENCE) as answer:
        told: dict[str, Any] = json.load(answer)
        return told


def refused(url: str) -> tuple[int, dict[str, Any], HTTPMessage]:
    """Return the status, problem and headers of a request that fails."""
    try:
        ask(url)
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
    postgres: Any, run_server: Any, tmp_path: Path
) -> None:
    engine = sql.create_engine(postgres.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sql.text("CREATE DATABASE served"))
    engine.dispose()
    database = {"videos__database": postgres.url.replace("/postgres?", "/served?")}
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
