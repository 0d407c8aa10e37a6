"""A browser plays the overlay of a video that is still being segmented."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from fractions import Fraction
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from playwright.sync_api import Page
from server_process import RunningServer

pytestmark = pytest.mark.browser

FRAMES = 1000
"""With STEP_MS, at least 40 s: far more than a browser needs to start."""
STEP_MS = "40"

PLAY = """(address) => new Promise((done, fail) => {
    const video = document.createElement("video");
    video.muted = true;
    video.onerror = () => fail(new Error(video.error.message));
    video.ontimeupdate = () => {
        if (video.currentTime > 1)
            done({width: video.videoWidth, height: video.videoHeight, ended: video.ended});
    };
    document.body.append(video);
    video.src = address;
    video.play();
})"""


@pytest.fixture
def server(
    run_server: Callable[..., AbstractContextManager[RunningServer]],
) -> Iterator[RunningServer]:
    with run_server(engine__fake_step_ms=STEP_MS) as running:
        yield running


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    with av.open(tmp_path / "clip.mp4", "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        picture = np.zeros((120, 160, 3), np.uint8)
        for number in range(FRAMES):
            picture[:, number % 160] = number % 256
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return tmp_path / "clip.mp4"


def test_chromium_plays_an_overlay_that_grows(
    server: RunningServer, clip: Path, open_page: Callable[..., Page]
) -> None:
    with httpx.Client(base_url=server.http) as web:
        video = web.post("/v1/videos", content=clip.read_bytes()).json()
        while "overlay.mp4" not in video["links"]:
            assert video["state"] in ("queued", "running"), video
            time.sleep(0.05)
            video = web.get(video["links"]["self"]).json()
        page = open_page(f"{server.http}/")
        playing = page.evaluate(PLAY, video["links"]["overlay.mp4"])
        assert playing == {"width": 160, "height": 120, "ended": False}
        assert web.get(video["links"]["self"]).json()["state"] == "running"
        assert web.delete(video["links"]["self"]).status_code == 204
