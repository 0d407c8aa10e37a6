"""Reading containers: all pictures, in order, at their exact times, as displayed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray
from PIL import Image

from server.errors import BadVideo
from server.frame import Frame, Pixels
from server.sources.decoding import Reading, read_frames

Film = Callable[..., Path]

MS = Fraction(1, 1000)
TS_TICK = Fraction(1, 90_000)


def frames_of(path: Path, height: int = 48, width: int = 64, **given: object) -> list[Frame]:
    plain: dict[str, object] = {
        "keep_original": False, "start": None, "max_pixels": 10_000, "timeout": None, "threads": 1,
    }  # fmt: skip
    return list(read_frames(Reading(path, height, width, **{**plain, **given})))  # type: ignore[arg-type]


def shades(frames: Sequence[Frame]) -> list[int]:
    """Return which flat pictures (conftest's ``shade``) these are."""
    return [round((float(frame.pixels.mean()) - 20) / 10) for frame in frames]


def quarters(height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Top left red, top right green, bottom left blue, bottom right white."""
    picture = np.full((height, width, 3), 255, np.uint8)
    picture[: height // 2, : width // 2] = (200, 0, 0)
    picture[: height // 2, width // 2 :] = (0, 200, 0)
    picture[height // 2 :, : width // 2] = (0, 0, 200)
    return picture


def close(found: Pixels, expected: Pixels) -> bool:
    difference = np.abs(found.astype(int) - expected.astype(int))
    return found.shape == expected.shape and float(difference.mean()) < 12


def test_all_pictures_in_order_with_exact_times(film: Film) -> None:
    frames = frames_of(film(frames=12, options={"bf": "3"}))
    assert [frame.seq for frame in frames] == list(range(12))
    assert [frame.pts for frame in frames] == [Fraction(i, 25) for i in range(12)]
    assert shades(frames) == list(range(12))


def test_what_a_frame_carries(film: Film) -> None:
    frame = frames_of(film(), 24, 40, keep_original=True)[0]
    assert frame.pixels.shape == (24, 40, 3) and frame.pixels.flags.c_contiguous
    assert frame.original is not None and frame.original.shape == (48, 64, 3)
    assert frame.original.flags.c_contiguous and frame.size == (48, 64)
    assert frame.arrived > 0 and frame.decode > 0
    assert frames_of(film())[0].original is None


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov"])
def test_variable_rate(film: Film, name: str) -> None:
    ticks = (0, 7, 40, 41, 500, 2000, 2001)
    frames = frames_of(film(name, ticks=ticks, tick=MS))
    assert [frame.pts for frame in frames] == [tick * MS for tick in ticks]


def test_a_first_picture_that_is_not_at_zero(film: Film) -> None:
    frames = frames_of(film("a.mkv", ticks=(1500, 1540, 1580), tick=MS))
    assert [frame.pts for frame in frames] == [1500 * MS, 1540 * MS, 1580 * MS]


def test_times_that_the_file_does_not_tell(film: Film) -> None:
    frames = frames_of(film("a.h264", frames=5))
    assert [frame.pts for frame in frames] == [Fraction(i, 25) for i in range(5)]
    assert shades(frames) == list(range(5))


def test_times_in_decoding_order_are_put_right(film: Film, restamped: Film) -> None:
    source = film(frames=24, options={"bf": "3"})
    path = restamped(source, "vfw.mkv", range(0, 24 * 40, 40))
    frames = frames_of(path)
    assert shades(frames) == [index % 20 for index in range(24)]
    assert [frame.pts for frame in frames] == [Fraction(i, 25) for i in range(24)]


def test_an_avi_with_b_frames_is_even(film: Film) -> None:
    frames = frames_of(film("a.avi", frames=24, options={"bf": "3"}))
    times = [frame.pts for frame in frames if frame.pts is not None]
    assert {b - a for a, b in pairwise(times)} == {Fraction(1, 25)}


@pytest.mark.parametrize("index", [0, 5, 11])
def test_a_picture_stamped_five_hours_affects_only_itself(
    film: Film, restamped: Film, index: int
) -> None:
    source = film("a.avi", codec="mjpeg", pix_fmt="yuvj420p", frames=12)
    times = [40 * i for i in range(12)]
    times[index] = 5 * 3600 * 1000
    path = restamped(source, "wrong.mkv", times, dts=range(12))
    assert [frame.pts for frame in frames_of(path)] == [Fraction(i, 25) for i in range(12)]


def test_a_beginning_before_0_is_moved_to_0(film: Film, restamped: Film) -> None:
    part = film("a.ts", frames=10)
    begin = 2**33 - 5 * 3600
    path = restamped(part, "wrap.ts", range(begin, begin + 10 * 3600, 3600), tick=TS_TICK)
    assert [frame.pts for frame in frames_of(path)] == [Fraction(i, 25) for i in range(10)]


def test_how_long_a_picture_is_shown_is_carried(film: Film, tmp_path: Path) -> None:
    shades_of_grey = [Image.new("RGB", (64, 48), (50 * i, 0, 0)) for i in range(3)]
    path = tmp_path / "a.gif"
    shades_of_grey[0].save(
        path, save_all=True, append_images=shades_of_grey[1:], duration=[1000, 2000, 3000]
    )
    assert [frame.duration for frame in frames_of(path)] == [1, 2, 3]
    assert [frame.duration for frame in frames_of(film())] == [Fraction(1, 25)] * 6


def test_a_rate_that_is_better_known_spaces_what_has_no_times(film: Film) -> None:
    frames = frames_of(film("a.h264", frames=3), rate=Fraction(10))
    assert [frame.pts for frame in frames] == [0, Fraction(1, 10), Fraction(1, 5)]


@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
def test_rotation_is_applied(film: Film, clockwise: int) -> None:
    path = film(
        pictures=lambda _: quarters(), configure=lambda s: s.set_display_rotation(-clockwise)
    )
    expected = np.ascontiguousarray(np.rot90(quarters(), -clockwise // 90))
    frame = frames_of(path, *expected.shape[:2], keep_original=True)[0]
    assert frame.size == expected.shape[:2]
    assert frame.original is not None and close(frame.original, expected)
    assert close(frame.pixels, expected)


def test_mirroring_is_applied(film: Film) -> None:
    path = film(
        pictures=lambda _: quarters(),
        configure=lambda s: s.set_display_rotation(0, hflip=True),
    )
    assert close(frames_of(path)[0].pixels, quarters()[:, ::-1])


def test_a_size_that_changes_in_the_middle(film: Film, tmp_path: Path) -> None:
    path = tmp_path / "joined.h264"
    small, large = film("small.h264", frames=3), film("large.h264", frames=2, height=80, width=96)
    path.write_bytes(small.read_bytes() + large.read_bytes())
    frames = frames_of(path, 32, 32, keep_original=True)
    assert [frame.size for frame in frames] == [(48, 64)] * 3 + [(80, 96)] * 2
    assert {frame.pixels.shape for frame in frames} == {(32, 32, 3)}
    assert shades(frames) == [0, 1, 2, 0, 1]


def test_joined_streams_continue_in_time(film: Film, tmp_path: Path) -> None:
    path = tmp_path / "joined.ts"
    part = film("part.ts", ticks=range(0, 75, 25), tick=Fraction(1, 25))
    other = film("other.ts", ticks=range(0, 75, 25), tick=Fraction(1, 25), height=80, width=96)
    path.write_bytes(part.read_bytes() + other.read_bytes())
    frames = frames_of(path)
    times = [frame.pts for frame in frames if frame.pts is not None]
    assert len(times) == 6 and times == sorted(set(times))
    assert {frame.size for frame in frames} == {(48, 64), (80, 96)}


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "options"),
    [
        ("odd.mkv", "libx264", "yuv444p", {}),
        ("grey.mkv", "ffv1", "gray", {}),
        ("ten.mp4", "libx265", "yuv420p10le", {"x265-params": "log-level=none"}),
        ("ten.mkv", "libx264", "yuv420p10le", {}),
        ("alpha.mkv", "ffv1", "yuva420p", {}),
        ("argb.mov", "qtrle", "argb", {}),
        ("lossless.mkv", "ffv1", "bgr0", {}),
        ("interlaced.mp4", "libx264", "yuv420p", {"flags": "+ildct+ilme"}),
        ("full.mkv", "libx264", "yuvj420p", {}),
    ],
)
def test_pixel_formats(
    film: Film, name: str, codec: str, pix_fmt: str, options: dict[str, str]
) -> None:
    odd = name.startswith("odd")
    size = (47, 63) if odd else (48, 64)
    path = film(
        name, codec=codec, pix_fmt=pix_fmt, options=options, frames=4, height=size[0], width=size[1]
    )
    frames = frames_of(path, *size)
    assert shades(frames) == [0, 1, 2, 3]
    assert {frame.size for frame in frames} == {size}


@pytest.mark.parametrize(
    ("matrix", "tag"), [(Colorspace.ITU709, 1), (Colorspace.ITU601, 6), (Colorspace.BT2020, 9)]
)
@pytest.mark.parametrize("full", [False, True])
def test_colours_follow_the_streams_matrix_and_range(
    tmp_path: Path, matrix: Colorspace, tag: int, full: bool
) -> None:
    path, wanted = tmp_path / "colour.mkv", ColorRange.JPEG if full else ColorRange.MPEG
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = tag, wanted
        frame = VideoFrame.from_ndarray(quarters(), format="rgb24").reformat(
            format="yuv444p", dst_colorspace=matrix, dst_color_range=wanted
        )
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    found = frames_of(path)[0].pixels
    assert np.abs(found.astype(int) - quarters()).max() <= 4


def test_broken_packets_in_the_middle_are_passed_over(film: Film) -> None:
    path = film("a.avi", codec="mjpeg", pix_fmt="yuvj420p", frames=6)
    data = bytearray(path.read_bytes())
    third, fourth = [at for at in range(len(data)) if data.startswith(b"\xff\xd8\xff", at)][2:4]
    data[third : fourth - 8] = bytes(fourth - 8 - third)
    path.write_bytes(bytes(data))
    assert shades(frames_of(path)) == [0, 1, 3, 4, 5]


def test_a_file_cut_off_gives_what_is_there(film: Film) -> None:
    def noise(index: int) -> NDArray[np.uint8]:
        return np.random.default_rng(index).integers(0, 255, (48, 64, 3), np.uint8)

    for name in ("a.mp4", "a.mkv", "a.ts"):
        path = film(
            name,
            frames=10,
            pictures=noise,
            container_options={"movflags": "+faststart"} if name == "a.mp4" else {},
        )
        whole = frames_of(path)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * 0.7)])
        kept = frames_of(path)
        assert 3 <= len(kept) < 10
        for found, expected in zip(kept[:-1], whole, strict=False):
            assert found.pts == expected.pts
            np.testing.assert_array_equal(found.pixels, expected.pixels)


def test_nothing_to_decode(film: Film) -> None:
    path = film("a.mkv")
    data = bytearray(path.read_bytes())
    begin = data.index(b"\x1f\x43\xb6\x75") + 30
    data[begin:-40] = b"\xff" * (len(data) - 40 - begin)
    path.write_bytes(bytes(data))
    with pytest.raises(BadVideo, match="no picture"):
        frames_of(path)
    with pytest.raises(BadVideo):
        frames_of(film("none.mkv", frames=0))


def test_pictures_that_grow_past_the_limit(film: Film, tmp_path: Path) -> None:
    assert len(frames_of(film(), max_pixels=64 * 48)) == 6
    path = tmp_path / "joined.h264"
    small, large = film("small.h264"), film("large.h264", height=80, width=96)
    path.write_bytes(small.read_bytes() + large.read_bytes())
    with pytest.raises(BadVideo, match="96x80"):
        frames_of(path, max_pixels=96 * 80 - 1)


@pytest.mark.parametrize("start", [0, 3, 7, 11])
def test_start_skips_what_is_shown_before(film: Film, start: int) -> None:
    path = film(frames=12, options={"g": "4", "bf": "2"})
    frames = frames_of(path, start=Fraction(start, 25))
    assert shades(frames) == list(range(start, 12))
    assert [frame.seq for frame in frames] == list(range(12 - start))
    assert frames[0].pts == Fraction(start, 25)


def test_threads_change_nothing(film: Film) -> None:
    path = film(frames=12, options={"bf": "2"})
    for one, two in zip(frames_of(path), frames_of(path, threads=2), strict=True):
        assert one.pts == two.pts
        np.testing.assert_array_equal(one.pixels, two.pixels)


@pytest.mark.data
def test_real_clips_have_the_containers_own_times(data: Path) -> None:
    for path in sorted((data / "videos").glob("*.mp4")):
        with av.open(path) as container:
            stream = container.streams.video[0]
            shown = [p.pts for p in container.demux(stream) if p.size and not p.is_discard]
            assert stream.time_base
            truth = sorted(pts * stream.time_base for pts in shown if pts is not None)
        found = []
        for frame in read_frames(Reading(path, 32, 32, False, None, 10**7, None, 1)):
            found.append(frame.pts)
            if len(found) == 40:
                break
        assert found == truth[:40]
