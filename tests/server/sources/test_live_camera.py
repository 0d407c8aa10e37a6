"""One connection to a real camera, in health and in each of its faults."""

from __future__ import annotations

import asyncio
import logging
import shutil
import subprocess
import time
import traceback
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from subprocess import DEVNULL

import clock_picture
import numpy as np
import pytest
from cameras import Camera
from clock_picture import Taken
from damaging_proxy import damaging_proxy
from http_cameras import http_camera
from living import open_files, thread_names
from waiting import until

from server.errors import (
    SourceFault,
    SourceNotFound,
    SourceSilent,
    SourceUnauthorized,
    SourceUnreachable,
)
from server.frame import Frame
from server.sources.container import ContainerSource, abandoned_decoders
from server.sources.pictures.picture import fit

MakeCamera = Callable[..., Camera]

pytestmark = pytest.mark.anyio

CODECS = ("h264", "hevc", "mjpeg")


def live(url: str, timeout: float = 10.0, late: float | None = None) -> ContainerSource:
    """A connection at a quarter of the camera's width; no frame is lost unless it is ``late``."""
    return ContainerSource(url, 60, 80, live=True, timeout=timeout, capacity=1000, late=late)


async def some(source: ContainerSource, number: int) -> list[Frame]:
    """Read this many frames; fewer if the source ends."""
    frames: list[Frame] = []
    async for frame in source:
        frames.append(frame)
        if len(frames) == number:
            break
    return frames


def clock(frame: Frame) -> Taken:
    """Return the content of a picture, which must be intact."""
    taken = clock_picture.read(frame.pixels)
    assert taken is not None
    return taken


def number(frame: Frame) -> int:
    return clock(frame).number


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    before = len(thread_names()), open_files()
    yield
    await until(lambda: len(thread_names()) <= before[0] and open_files() <= before[1])
    assert abandoned_decoders() == 0


@pytest.mark.parametrize("codec", CODECS)
async def test_every_picture_in_order_with_its_times(camera: MakeCamera, codec: str) -> None:
    one = camera(codec=codec, fps=50)
    async with live(one.url) as source:
        frames = await some(source, 30)
        assert source.packets >= source.frames >= 30 and source.lost == 0
        assert source.last_packet is not None and source.last_frame is not None
        assert source.last_frame >= source.last_packet >= frames[-1].arrived
    taken = [clock(frame) for frame in frames]
    assert [b.number - a.number for a, b in pairwise(taken)] == [1] * 29
    assert all(a.pts < b.pts for a, b in pairwise(frames))  # type: ignore[operator]
    assert frames[0].pts == 0 and {frame.size for frame in frames} == {(240, 320)}
    assert all(frame.wall is not None and frame.wall >= clock(frame).wall for frame in frames)


async def test_the_cameras_own_time_comes_with_its_reports(camera: MakeCamera) -> None:
    async with live(camera(codec="mjpeg", fps=50).url) as source:
        async for frame in source:
            if frame.camera_time is not None:
                break
    assert frame.camera_time == pytest.approx(clock(frame).wall, abs=0.5)
    assert frame.wall is not None and frame.wall >= clock(frame).wall


async def test_b_frames_keep_the_arrival_of_their_own_packets(camera: MakeCamera) -> None:
    async with live(camera(fps=50, bframes=2).url) as source:
        frames = await some(source, 30)
    taken = [clock(frame) for frame in frames]
    assert [b.number - a.number for a, b in pairwise(taken)] == [1] * 29
    assert all(a.pts < b.pts for a, b in pairwise(frames))  # type: ignore[operator]
    assert any(a.arrived > b.arrived for a, b in pairwise(frames)), "there was no B frame"


@pytest.mark.parametrize("codec", CODECS)
async def test_another_size_in_mid_stream(camera: MakeCamera, codec: str) -> None:
    one = camera(codec=codec, fps=50)
    sizes: list[tuple[int, int]] = []
    async with aclosing(live(one.url)) as source:
        for width, height in ((320, 240), (640, 360), (160, 120)):
            one.resize(width, height)
            async for frame in source:
                clock(frame)
                if frame.size == (height, width):
                    break
                sizes.append(frame.size)
        assert frame.size == (120, 160) and set(sizes) <= {(240, 320), (360, 640)}


async def test_killed_and_started_again(camera: MakeCamera) -> None:
    one = camera(fps=50)
    async with nothing_left():
        async with live(one.url) as source:
            await some(source, 3)
            one.kill()
            assert len(await some(source, 1000)) < 1000, "the end of a connection ends the source"
        with pytest.raises(SourceUnreachable, match=r"^The source cannot be reached: .*\.$"):
            await some(live(one.url), 1)
        one.start(width=160, height=120)
        async with live(one.url) as source:
            (frame,) = await some(source, 1)
        assert frame.size == (120, 160) and frame.pts == 0


@pytest.mark.parametrize("codec", CODECS)
async def test_frozen_with_its_connection_open(camera: MakeCamera, codec: str) -> None:
    one = camera(codec=codec, fps=50)
    async with live(one.url, timeout=0.5) as source:
        await some(source, 3)
        one.freeze()
        with pytest.raises(SourceSilent, match=r"^The source sent nothing for 0\.5 s\.$"):
            await some(source, 1000)
        assert source.last_packet is not None


async def test_accepting_and_silent(camera: MakeCamera) -> None:
    one = camera(fps=50)
    async with live(one.url) as source:
        await some(source, 1)
    one.suspend()
    with pytest.raises(SourceSilent, match=r"^The source did not answer within 0\.3 s\.$"):
        await some(live(one.url, timeout=0.3), 1)


async def test_a_decoder_that_hangs_is_counted_until_it_ends(camera: MakeCamera) -> None:
    one = camera(fps=50)
    async with nothing_left():
        source = live(one.url, timeout=1.5)
        await some(source, 3)
        one.suspend()
        await some_end(source)
        assert abandoned_decoders() == 1
        await until(lambda: abandoned_decoders() == 0)


async def some_end(source: ContainerSource) -> None:
    """Leave it once everything in transit has arrived."""
    await asyncio.sleep(0.1)
    await source.aclose()


@pytest.mark.parametrize("auth", ["basic", "digest"])
async def test_credentials(camera: MakeCamera, auth: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    one = camera(fps=50, auth=auth, user="user", password="pa55word")
    async with live(one.mount(0, "user:pa55word")) as source:
        clock((await some(source, 1))[0])
    said = repr(source)
    for credentials in ("", "user:wr0ng", "other:pa55word"):
        source = live(one.mount(0, credentials))
        with pytest.raises(SourceUnauthorized) as caught:
            await some(source, 1)
        assert str(caught.value) == "The source refuses this user and password."
        said += "".join(traceback.format_exception(caught.value)) + repr(source)
        said += repr(vars(source))
    said += caplog.text
    assert "pa55word" not in said and "wr0ng" not in said


async def test_rtsps_with_a_certificate_of_its_own(camera: MakeCamera, tmp_path: Path) -> None:
    certificate = tmp_path / "camera.pem"
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=camera -keyout - -out -"
    made = await asyncio.to_thread(subprocess.check_output, command.split(), stderr=DEVNULL)
    certificate.write_bytes(made)
    one = camera(fps=50, auth="digest", certificate=str(certificate))
    assert one.url.startswith("rtsps://")
    async with live(one.mount(0, "user:secret")) as source:
        clock((await some(source, 1))[0])
    with pytest.raises(SourceUnauthorized):
        await some(live(one.url), 1)


async def test_nothing_at_this_path(camera: MakeCamera) -> None:
    with pytest.raises(SourceNotFound):
        await some(live(camera().mount(7)), 1)
    with http_camera() as base, pytest.raises(SourceNotFound):
        await some(live(f"{base}/nothing"), 1)


async def test_times_that_jump_back(camera: MakeCamera) -> None:
    one = camera(fps=50)
    async with (
        damaging_proxy(one.port) as proxy,
        live(one.mount(0, port=proxy.port)) as source,
    ):
        frames = await some(source, 10)
        proxy.shift = -3600 * 90_000
        frames += await some(source, 20)
        proxy.shift = 7200 * 90_000
        frames += await some(source, 20)
    steps = [b.pts - a.pts for a, b in pairwise(frames)]  # type: ignore[operator]
    assert all(0 < step < 1 for step in steps), "a new clock continues the old one"


@pytest.mark.parametrize("codec", CODECS)
async def test_5_percent_of_the_packets_damaged(camera: MakeCamera, codec: str) -> None:
    one = camera(codec=codec, fps=50, gop=10)
    async with (
        damaging_proxy(one.port) as proxy,
        live(one.mount(0, port=proxy.port)) as source,
    ):
        await some(source, 1)
        proxy.damage = 0.05
        frames = await some(source, 150)
        assert proxy.damaged > 0
        proxy.damage = 0
        async for frame in source:
            if len(frames) > 200:
                break
            frames.append(frame)
    assert sum(clock_picture.read(frame.pixels) is not None for frame in frames[:150]) > 50
    assert all(clock_picture.read(frame.pixels) for frame in frames[-20:]), "it recovers"


@pytest.mark.parametrize("codec", ["h264", "hevc"])
async def test_no_key_frame(camera: MakeCamera, codec: str) -> None:
    one = camera(codec=codec, fps=50, gop=20, keyless=True)
    async with nothing_left(), live(one.url) as source:
        reader = asyncio.create_task(some(source, 1))
        await until(lambda: source.packets > 20)
        assert source.frames == 0 and source.last_frame is None
        assert source.last_packet is not None
        one.send_key_frames(True)
        (frame,) = await reader
        clock(frame)


async def test_left_while_nothing_can_be_decoded(camera: MakeCamera) -> None:
    one = camera(fps=50, keyless=True)
    async with nothing_left():
        source = live(one.url)
        reader = asyncio.create_task(some(source, 1))
        await until(lambda: source.packets > 5)
        await source.aclose()
        assert await reader == []


async def test_a_machine_that_is_too_slow_passes_over_pictures(
    camera: MakeCamera, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*given: object) -> object:
        time.sleep(0.1)
        return fit(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("server.sources.rendering.fit", slow)
    async with live(camera(fps=50).url, late=0.2) as source:
        frames = await some(source, 12)
        assert source.lost > 0
    seqs, numbers = ([of(frame) for frame in frames] for of in (lambda f: f.seq, number))
    assert np.diff(seqs).tolist() == np.diff(numbers).tolist(), "the seq of a lost one is missing"
    assert max(np.diff(seqs)) > 1


@pytest.mark.parametrize("path", ["mjpeg", "flv", "ts"])
async def test_cameras_over_http(path: str) -> None:
    with http_camera(fps=50, password="user:pa55word") as base:
        for url in (f"{base}/{path}", f"{base.replace('//', '//user:wr0ng@')}/{path}"):
            with pytest.raises(SourceUnauthorized):
                await some(live(url), 1)
        async with live(f"{base.replace('//', '//user:pa55word@')}/{path}") as source:
            taken = [clock(frame) for frame in await some(source, 10)]
    assert [b.number - a.number for a, b in pairwise(taken)] == [1] * 9


async def test_eight_cameras_at_once(camera: MakeCamera) -> None:
    one = camera(mounts=8, fps=10)

    async def watch(mount: int) -> list[Frame]:
        async with live(one.mount(mount)) as source:
            return await some(source, 10)

    async with nothing_left():
        seen = await asyncio.gather(*map(watch, range(8)))
    for frames in seen:
        numbers = [clock(frame).number for frame in frames]
        assert np.diff(numbers).tolist() == [1] * 9


async def test_cameras_that_come_and_go_leave_nothing(camera: MakeCamera) -> None:
    one = camera(codec="mjpeg", fps=100, mounts=1)
    async with live(one.url) as keeps_it_running:
        await some(keeps_it_running, 1)
        async with nothing_left():
            for _ in range(200):
                async with live(one.url) as source:
                    clock((await some(source, 1))[0])


async def test_another_codec_in_mid_stream_breaks_off(
    tmp_path: Path, film: Callable[..., Path]
) -> None:
    before = film("before.ts", frames=10)
    after = film("after.ts", frames=100, codec="mpeg2video")
    (tmp_path / "both.ts").write_bytes(before.read_bytes() + after.read_bytes())
    with http_camera(folder=tmp_path) as base:
        source = live(f"{base}/both.ts")
        with pytest.raises(SourceFault, match="can no longer be decoded"):
            await some(source, 1000)
    assert source.frames < 20


async def test_a_playlist_and_its_segments(tmp_path: Path, film: Callable[..., Path]) -> None:
    film("a.ts", frames=8)
    (tmp_path / "list.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.32,\na.ts\n#EXT-X-ENDLIST\n"
    )
    with http_camera(folder=tmp_path) as base:
        assert len(await some(live(f"{base}/list.m3u8"), 100)) == 8


async def test_a_playlist_may_name_no_file(tmp_path: Path) -> None:
    (tmp_path / "list.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname.ts\n#EXT-X-ENDLIST\n"
    )
    with http_camera(folder=tmp_path) as base, pytest.raises(SourceFault):
        await some(live(f"{base}/list.m3u8", timeout=2), 1)
