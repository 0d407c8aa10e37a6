"""Where a video can be cut without changing a picture or a time, and why it cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.frame import Frame
from server.sources.cuts import Cuts, Uncut, can_seek, read_cuts
from server.sources.decoding import Reading, Stretch, read_frames

Film = Callable[..., Path]
MAX_PIXELS = 10**6
SHORT_GROUPS = {"g": "10", "keyint_min": "10", "sc_threshold": "0"}


def cuts_of(path: Path) -> Cuts:
    return read_cuts(path, None, MAX_PIXELS)


def frames_of(path: Path, stretch: Stretch | None = None) -> list[Frame]:
    reading = Reading(path, 48, 64, True, None, MAX_PIXELS, None, 1, stretch=stretch)
    return list(read_frames(reading))


def noise(index: int) -> Any:
    return np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8)


KINDS: dict[str, dict[str, Any]] = {
    "h264 in mp4": {"name": "a.mp4"},
    "h264 in mp4, b-frames": {"name": "a.mp4", "options": SHORT_GROUPS | {"bf": "3"}},
    "h264 in matroska": {"name": "a.mkv"},
    "h264 in matroska, b-frames": {"name": "a.mkv", "options": SHORT_GROUPS | {"bf": "3"}},
    "h264 in mpeg-ts": {"name": "a.ts"},
    "hevc in mp4": {
        "name": "a.mp4",
        "codec": "libx265",
        "options": {"x265-params": "keyint=10:min-keyint=10:open-gop=0:scenecut=0:log-level=none"},
    },
    "vp9 in webm": {"name": "a.webm", "codec": "libvpx-vp9", "options": {"g": "10"}},
    "mjpeg in avi": {"name": "a.avi", "codec": "mjpeg", "pix_fmt": "yuvj420p"},
    "variable rate": {"name": "a.mp4", "ticks": [3 * n + n % 3 for n in range(40)]},
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_read_from_a_cut_is_what_is_read_from_the_start(film: Film, kind: str) -> None:
    path = film(**{"frames": 40, "options": SHORT_GROUPS, "pictures": noise} | KINDS[kind])
    found, whole = cuts_of(path), frames_of(path)
    if found.reason is Uncut.TIMES:
        pytest.skip("this FFmpeg gives the container's packets no times")
    assert found.reason is None
    assert found.pictures == len(whole) == 40
    assert {0, 10, 20, 30} <= {key.number for key in found.keys}
    assert can_seek(path, found.keys, MAX_PIXELS)
    for key in found.keys[1:35]:
        assert key.time == whole[key.number].pts
        cut = frames_of(path, Stretch(key, key.number + 1, key.number + 3))
        assert [frame.seq for frame in cut] == list(range(key.number + 1, 40))
        assert [frame.replay for frame in cut] == [seq < 2 for seq in range(len(cut))]
        for frame in cut:
            assert frame.pts == whole[frame.seq].pts
            np.testing.assert_array_equal(frame.original, whole[frame.seq].original)


def test_open_groups_are_not_cut(film: Film) -> None:
    options = SHORT_GROUPS | {"x264-params": "open-gop=1:bframes=3:b-adapt=0", "bf": "3"}
    found = cuts_of(film("open.mp4", frames=40, options=options, pictures=noise))
    assert [key.number for key in found.keys] == [0]


def test_recovery_points_are_not_key_frames_enough(film: Film) -> None:
    """Matroska flags the pictures of an intra refresh as key frames."""
    options = {"x264-params": "intra-refresh=1:keyint=10:bframes=0:scenecut=0"}
    found = cuts_of(film("refresh.mkv", frames=40, options=options))
    assert [key.number for key in found.keys] == [0]


def test_a_codec_whose_packets_are_not_pictures_is_not_cut(film: Film) -> None:
    path = film("a.avi", codec="mpeg4", frames=20, options={"g": "5"})
    assert cuts_of(path).reason is Uncut.CODEC


def test_packets_without_times_are_not_cut(film: Film) -> None:
    path = film("a.h264", frames=20, options=SHORT_GROUPS)
    assert cuts_of(path).reason in (Uncut.TIMES, Uncut.NOT_SEEKABLE)


def test_a_beginning_that_an_edit_list_hides_is_not_cut(film: Film) -> None:
    path = film("a.mp4", frames=30, options=SHORT_GROUPS)
    data = bytearray(path.read_bytes())
    place = data.index(b"elst")
    # Version and flags, count, duration, then the media time at which the video is shown from.
    data[place + 16 : place + 20] = (5 * 512).to_bytes(4, "big")
    path.write_bytes(data)
    assert cuts_of(path).reason is Uncut.EDIT_LIST


def test_another_size_in_the_middle_is_not_cut(film: Film, tmp_path: Path) -> None:
    parts = [
        film(f"{width}.ts", width=width, frames=20, options=SHORT_GROUPS).read_bytes()
        for width in (64, 128)
    ]
    both = tmp_path / "both.ts"
    both.write_bytes(b"".join(parts))
    assert cuts_of(both).reason in (Uncut.FORMAT_CHANGES, Uncut.TIMES, Uncut.DAMAGED)


def test_times_that_fall_or_pause_too_long_are_not_cut(film: Film, restamped: Film) -> None:
    whole = film("a.mkv", frames=20, codec="mjpeg", pix_fmt="yuvj420p")
    pause = [*range(10), *range(10**9, 10**9 + 10)]
    for times in (pause, [0] * 20):
        path = restamped(whole, "b.mkv", times)
        found = cuts_of(path)
        assert (found.reason, found.keys) == (Uncut.TIMES, ())


def test_a_key_frame_that_is_gone_cannot_be_found(film: Film) -> None:
    keys = cuts_of(film("a.mp4", frames=40, options=SHORT_GROUPS)).keys
    other = film("b.mp4", frames=40, options=SHORT_GROUPS, ticks=[2 * n + 1 for n in range(40)])
    assert not can_seek(other, keys[1:2], MAX_PIXELS)


@pytest.mark.data
def test_real_clips_are_cut_and_read_alike(data: Path) -> None:
    cut_clips = 0
    for path in sorted((data / "videos").glob("*.mp4")):
        found = read_cuts(path, None, 10**7)
        if found.reason or len(found.keys) < 2 or found.pictures > 300:
            continue
        cut_clips += 1
        key = found.keys[1]
        reading = Reading(path, 48, 64, False, None, 10**7, None, 1)
        whole = list(read_frames(reading))
        stretch = Stretch(key, key.number, key.number)
        cut = list(read_frames(replace(reading, stretch=stretch)))
        assert len(cut) == len(whole) - key.number == found.pictures - key.number
        for frame in cut:
            assert frame.pts == whole[frame.seq].pts
            np.testing.assert_array_equal(frame.pixels, whole[frame.seq].pixels)
    assert cut_clips
