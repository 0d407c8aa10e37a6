"""The tests' own cameras, read only by PyAV: other tests can rely on them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise

import av
import clock_picture
import numpy as np
import pytest
from cameras import SHARED, Camera
from damaging_proxy import damaging_proxy
from http_cameras import http_camera

MakeCamera = Callable[..., Camera]

pytestmark = pytest.mark.anyio


def watch(url: str, frames: int = 8) -> list[tuple[int, int, clock_picture.Taken | None]]:
    """Return (height, width, content of the clock) of the first pictures."""
    options = {"rtsp_transport": "tcp"} if url.startswith("rtsp") else {}
    seen: list[tuple[int, int, clock_picture.Taken | None]] = []
    with av.open(url, options=options, timeout=10) as container:
        for frame in container.decode(video=0):
            picture = frame.to_ndarray(format="rgb24")
            seen.append((*picture.shape[:2], clock_picture.read(picture)))
            if len(seen) == frames:
                break
    return seen


@pytest.mark.parametrize("size", [(640, 360), (320, 240), (64, 48)])
def test_a_picture_shows_its_number_and_time(size: tuple[int, int]) -> None:
    width, height = size
    planes = np.frombuffer(clock_picture.paint(70_001, 1.7e9, width, height), np.uint8)
    frame = av.VideoFrame.from_ndarray(planes.reshape(-1, width), format="yuv420p")
    picture = frame.to_ndarray(format="rgb24")
    assert clock_picture.read(picture, now=1.7e9 + 1e6) == clock_picture.Taken(70_001, 1.7e9)
    picture[: height // 4] = 0
    assert clock_picture.read(picture) is None


@pytest.mark.parametrize("codec", ["h264", "hevc", "mjpeg"])
def test_each_codec_shows_the_clock(camera: MakeCamera, codec: str) -> None:
    seen = watch(camera(codec=codec, fps=50).url)
    taken = [one[2] for one in seen]
    assert all(taken) and [(height, width) for height, width, _ in seen] == [(240, 320)] * 8
    assert [one.number - taken[0].number for one in taken if one and taken[0]] == [*range(8)]
    assert all(0 <= time.time() - one.wall < 60 for one in taken if one)


def test_cameras_that_share_an_encoder_show_the_same_pictures(camera: MakeCamera) -> None:
    one = camera(program=SHARED, mounts=2, fps=25, width=160, height=120)
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda mount: watch(one.mount(mount), frames=30), range(2))
    numbers = [[taken.number for *_, taken in seen if taken] for seen in (first, second)]
    assert all(b - a == 1 for row in numbers for a, b in pairwise(row))
    assert set(numbers[0]) & set(numbers[1])


def test_it_is_started_again_on_its_port(camera: MakeCamera) -> None:
    one = camera(fps=50)
    watch(one.url)
    url = one.url
    one.kill()
    with pytest.raises(av.FFmpegError):
        watch(url)
    one.start(width=160, height=120)
    assert one.url == url and watch(url)[0][:2] == (120, 160)


async def test_the_proxy_damages_what_it_says(camera: MakeCamera) -> None:
    one = camera(fps=50)
    async with damaging_proxy(one.port, damage=1.0) as proxy:
        with suppress(av.FFmpegError):
            seen = await asyncio.to_thread(watch, one.mount(0, port=proxy.port))
            assert not all(taken for *_, taken in seen)
        assert proxy.damaged == proxy.packets > 0
    async with damaging_proxy(one.port) as proxy:
        seen = await asyncio.to_thread(watch, one.mount(0, port=proxy.port))
        assert all(taken for *_, taken in seen) and not proxy.damaged


@pytest.mark.parametrize("path", ["mjpeg", "flv", "ts"])
def test_http_cameras_show_the_clock(path: str) -> None:
    with http_camera(fps=50) as base:
        assert all(taken for *_, taken in watch(f"{base}/{path}"))
