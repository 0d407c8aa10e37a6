from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import cv2
import numpy as np
import pytest

from clients.python.errors import BadFootage
from clients.python.pictures import Frame, Pictures, encode_picture
from protocol import InputEncoding, picture_kind

pytestmark = pytest.mark.anyio

RED = np.zeros((16, 24, 3), np.uint8) + np.array([250, 10, 10], np.uint8)


async def taken(frames: Any) -> list[tuple[Frame, bytes]]:
    pictures = Pictures(frames, lambda picture: encode_picture(picture, InputEncoding.PNG))
    found = [one async for one in pictures]
    await pictures.aclose()
    return found


@pytest.mark.parametrize("encoding", [InputEncoding.JPEG, InputEncoding.PNG, InputEncoding.WEBP])
def test_arrays_are_rgb(encoding: InputEncoding) -> None:
    data = encode_picture(RED, encoding)
    assert picture_kind(data) == encoding
    shown = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    assert np.abs(shown.astype(int) - RED).max() < 12


def test_raw_is_row_by_row() -> None:
    assert encode_picture(RED[:, ::2], InputEncoding.RGB24) == RED[:, ::2].copy().tobytes()


def test_bytes_stay_as_they_are() -> None:
    assert encode_picture(b"any", InputEncoding.JPEG) == b"any"
    assert encode_picture(bytearray(b"any"), InputEncoding.JPEG) == b"any"


@pytest.mark.parametrize("wrong", [RED[..., 0], RED.astype(float), RED[..., :2]])
def test_other_arrays_are_refused(wrong: Any) -> None:
    with pytest.raises(BadFootage, match="must be bytes or an array"):
        encode_picture(wrong, InputEncoding.JPEG)


@pytest.mark.parametrize("pts", [float("nan"), float("inf")])
def test_a_time_is_finite(pts: float) -> None:
    with pytest.raises(BadFootage, match="must be a finite number of seconds"):
        Frame(RED, pts)


async def test_anything_iterable_becomes_frames() -> None:
    framed = Frame(RED, 1.5)
    found = await taken([b"a", framed, RED])
    assert [frame.pts for frame, _ in found] == [None, 1.5, None]
    assert found[0][1] == b"a"
    assert found[1][0] is framed
    assert picture_kind(found[2][1]) == "png"


async def test_async_iterables_are_read_in_the_loop_and_closed() -> None:
    closed = []

    async def frames() -> AsyncIterator[Any]:
        try:
            yield b"a"
            yield RED
        finally:
            closed.append(threading.current_thread() is threading.main_thread())

    found = await taken(frames())
    assert [picture_kind(data) for _, data in found] == [None, "png"]
    assert closed == [True]


async def test_a_blocking_source_does_not_block_the_loop() -> None:
    go_on = threading.Event()

    def frames() -> Iterator[bytes]:
        assert go_on.wait(10)
        yield b"a"

    pictures = Pictures(frames(), bytes)
    reading = asyncio.ensure_future(anext(pictures))
    await asyncio.sleep(0)
    go_on.set()
    assert (await reading)[1] == b"a"


async def test_leaving_while_a_read_is_under_way_waits_for_it_and_closes() -> None:
    reading, go_on, closed = threading.Event(), threading.Event(), []

    def frames() -> Iterator[bytes]:
        try:
            reading.set()
            assert go_on.wait(10)
            yield b"a"
        finally:
            closed.append(True)

    pictures = Pictures(frames(), bytes)
    task = asyncio.ensure_future(anext(pictures))
    await asyncio.to_thread(reading.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    closing = asyncio.ensure_future(pictures.aclose())
    await asyncio.sleep(0)
    assert not closed
    go_on.set()
    await closing
    assert closed == [True]


async def test_leaving_closes_a_source_whose_read_hangs() -> None:
    reading, closed = threading.Event(), threading.Event()

    class Camera:
        def __iter__(self) -> Camera:
            return self

        def __next__(self) -> bytes:
            reading.set()
            assert closed.wait(10)
            raise StopIteration

        def close(self) -> None:
            closed.set()

    await asyncio.wait_for(left_while_reading(Camera(), reading), 5)
    assert closed.is_set()


async def test_a_generator_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clients.python.pictures.LEAVE_SECONDS", 0.01)
    reading, go_on = threading.Event(), threading.Event()

    def frames() -> Iterator[bytes]:
        reading.set()
        assert go_on.wait(10)
        yield b"a"

    await asyncio.wait_for(left_while_reading(frames(), reading), 5)
    go_on.set()


async def left_while_reading(frames: Any, reading: threading.Event) -> None:
    pictures = Pictures(frames, bytes)
    task = asyncio.ensure_future(anext(pictures))
    await asyncio.to_thread(reading.wait, 10)
    task.cancel()
    await asyncio.wait([task])
    await pictures.aclose()
