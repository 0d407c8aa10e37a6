"""Tiny videos, made by PyAV: a picture's mean brightness tells its number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray

Film = Callable[..., Path]


def shade(index: int) -> int:
    """The brightness of picture ``index``: levels far enough apart to survive a codec."""
    return 20 + 10 * (index % 20)


def flat(index: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.full((height, width, 3), shade(index), np.uint8)


@pytest.fixture
def film(tmp_path: Path) -> Film:
    """Write a video of flat pictures; return its path.

    ``ticks`` are the pictures' times in ``tick``; ``configure(stream)`` may set anything.
    """

    def make(
        name: str = "film.mp4",
        *,
        height: int = 48,
        width: int = 64,
        frames: int = 6,
        ticks: Iterable[int] | None = None,
        tick: Fraction = Fraction(1, 25),
        codec: str = "libx264",
        pix_fmt: str = "yuv420p",
        options: dict[str, str] | None = None,
        pictures: Callable[[int], NDArray[np.uint8]] | None = None,
        configure: Callable[[Any], None] | None = None,
        container_options: dict[str, str] | None = None,
    ) -> Path:
        path = tmp_path / name
        with av.open(path, "w", options=container_options or {}) as container:
            stream = container.add_stream(codec, rate=25, options=options or {})
            stream.height, stream.width, stream.pix_fmt = height, width, pix_fmt
            stream.codec_context.time_base = tick
            if configure is not None:
                configure(stream)
            container.start_encoding()
            for index, pts in enumerate(ticks if ticks is not None else range(frames)):
                rgb = pictures(index) if pictures else flat(index, height, width)
                frame = VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pix_fmt)
                frame.pts, frame.time_base = pts, tick
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return make


@pytest.fixture
def restamped(tmp_path: Path) -> Film:
    """Copy a video's packets, in their order, into another file; return its path.

    Packet ``i`` gets ``times[i]`` and ``dts[i]`` (the same where that is not given) in ``tick``,
    and is shown for ``duration`` ticks (0: not specified).
    """

    def copy(
        source: Path,
        name: str,
        times: Sequence[int],
        *,
        dts: Sequence[int] | None = None,
        tick: Fraction = Fraction(1, 1000),
        duration: int = 0,
    ) -> Path:
        path = tmp_path / name
        with av.open(source) as given, av.open(path, "w") as container:
            stream = container.add_stream_from_template(given.streams.video[0])
            stream.time_base = tick
            packets = [packet for packet in given.demux(video=0) if packet.size]
            for index, packet in enumerate(packets[: len(times)]):
                made = av.Packet(bytes(packet))
                made.stream, made.time_base, made.is_keyframe = stream, tick, packet.is_keyframe
                made.pts, made.dts = times[index], (dts or times)[index]
                made.duration = duration
                container.mux(made)
        return path

    return copy


@pytest.fixture
def sound(tmp_path: Path) -> Iterator[Path]:
    """A file that contains only sound."""
    path = tmp_path / "sound.mp4"
    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=8000)
        for index in range(4):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 8000, index * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    yield path
