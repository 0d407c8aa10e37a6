"""The device's arithmetic, run on the CPU, compared with the path that the CPU takes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from threading import Thread

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from server.errors import Fault
from server.frame import HOST, HOST_COPIES, DevicePixels, host_pixels
from server.sources.converter import Converter
from server.sources.nvdec import FakeNvdec
from server.sources.orientation import UPRIGHT, Orientation
from server.sources.pictures.picture import fit

Film = Callable[..., Path]

DARKER = 1.5
"""Grey levels. swscale's fast path, which the CPU takes, comes out about one darker than exact."""


@pytest.fixture(scope="module")
def converter() -> Converter:
    return Converter(HOST)


def first(path: Path) -> VideoFrame:
    with av.open(path) as container:
        return next(container.decode(video=0))


def exact(frame: VideoFrame) -> NDArray[np.float64]:
    """RGB by the equations, in full precision, of limited BT.601 in yuv420p."""
    y, u, v = (
        np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in frame.planes
    )
    size = (frame.height, frame.width)
    u, v = (c.repeat(2, 0).repeat(2, 1)[: size[0], : size[1]] for c in (u, v))
    luma, blue, red = (y - 16.0) * 255 / 219, (u - 128.0) * 255 / 224, (v - 128.0) * 255 / 224
    green = luma - 0.344136 * blue - 0.714136 * red
    return np.stack([luma + 1.402 * red, green, luma + 1.772 * blue], axis=-1).clip(0, 255)


def convert(
    converter: Converter, frame: VideoFrame, turn: Orientation, height: int, width: int
) -> DevicePixels:
    surface = FakeNvdec().surface(frame)
    assert surface is not None
    return converter.convert(surface, turn, height, width)


def noise(index: int) -> NDArray[np.uint8]:
    small = np.random.default_rng(index).integers(60, 190, (12, 16, 3), np.uint8)
    return small.repeat(4, axis=0).repeat(4, axis=1)


def slopes(index: int) -> NDArray[np.uint8]:
    """Soft colours: swscale interpolates the chroma of 10 bits, here a sample stands for four."""
    rows, columns = np.mgrid[:48, :64] + index
    return np.stack([60 + 2 * columns, 200 - 2 * rows, 90 + rows + columns], -1).astype(np.uint8)


def test_colours_are_exact_to_the_rounding(film: Film, converter: Converter) -> None:
    frame = first(film(pictures=noise))
    found = host_pixels(convert(converter, frame, UPRIGHT, 48, 64))
    assert np.abs(found - exact(frame)).max() <= 0.51


@pytest.mark.parametrize("turn", [Orientation(90), Orientation(180, True), Orientation(270)])
@pytest.mark.parametrize("size", [(48, 64), (20, 30), (100, 70)])
def test_turned_and_scaled_as_on_the_cpu(
    film: Film, converter: Converter, turn: Orientation, size: tuple[int, int]
) -> None:
    frame = first(film(pictures=noise))
    found = host_pixels(convert(converter, frame, turn, *size)).astype(float)
    expected = fit(turn.apply(exact(frame).round().astype(np.uint8)), *size)
    assert np.abs(found - expected).max() <= 1.5


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "options"),
    [
        ("libx264", "yuvj420p", {}),
        ("libx265", "yuv420p10le", {"x265-params": "log-level=none"}),
    ],
)
def test_full_range_and_ten_bits(
    film: Film, converter: Converter, codec: str, pix_fmt: str, options: dict[str, str]
) -> None:
    path = film("a.mkv", codec=codec, pix_fmt=pix_fmt, options=options, pictures=slopes)
    frame = first(path)
    found = host_pixels(convert(converter, frame, UPRIGHT, 48, 64)).astype(float)
    assert np.abs(found - frame.to_ndarray(format="rgb24")).mean() < DARKER


@pytest.mark.data
@pytest.mark.parametrize("size", [None, (352, 480), (640, 640), (64, 96)])
def test_real_clips_come_out_as_on_the_cpu(
    data: Path, converter: Converter, size: tuple[int, int] | None
) -> None:
    for path in sorted((data / "videos").glob("*.mp4")):
        with av.open(path) as container:
            for frame in islice(container.decode(video=0), 0, 60, 30):
                height, width = size or (frame.height, frame.width)
                found = host_pixels(convert(converter, frame, UPRIGHT, height, width))
                expected = fit(frame.to_ndarray(format="rgb24"), height, width)
                difference = np.abs(found.astype(int) - expected.astype(int))
                assert difference.mean() < DARKER, path.name


def test_a_picture_outlives_its_surface_and_costs_no_copy(film: Film, converter: Converter) -> None:
    before = HOST_COPIES.count
    frame = first(film(pictures=noise))
    kept = [convert(converter, frame, UPRIGHT, 48, 64) for _ in range(3)]
    del frame
    assert len({picture.pointer for picture in kept}) == 3
    views = [host_pixels(picture) for picture in kept]
    np.testing.assert_array_equal(views[0], views[2])
    assert HOST_COPIES.count == before


def test_threads_share_one(film: Film, converter: Converter) -> None:
    frame = first(film(pictures=noise))
    expected = host_pixels(convert(converter, frame, UPRIGHT, 30, 40)).copy()
    wrong: list[int] = []

    def work(seed: int) -> None:
        for _ in range(10):
            picture = convert(converter, frame, UPRIGHT, 30, 40)
            if not np.array_equal(host_pixels(picture), expected):
                wrong.append(seed)

    threads = [Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_device_that_is_not_there() -> None:
    with pytest.raises(Fault, match="CUDA"):
        Converter(97)
