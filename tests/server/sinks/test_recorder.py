"""Artefacts: they contain exactly the segmented masks, and no other files are left."""

from __future__ import annotations

import json
import resource
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from pictures_segmented import COLOURS, SPEC

from protocol import StageTimes
from protocol.masks import decode_mask
from server.errors import BadRequest, Fault
from server.frame import Frame, Labels, Mask, ResetCause, VideoInfo
from server.sinks.overlay import resize_labels
from server.sinks.recorder import ARTEFACTS, Recorder, join_parts


def video(height: int = 48, width: int = 64, tick: Fraction = Fraction(1, 90_000)) -> VideoInfo:
    return VideoInfo(width, height, None, None, Fraction(25), tick)


def labels(index: int) -> Labels:
    return np.random.default_rng(index).integers(0, 3, (24, 32), np.uint8)


def mask(index: int, pts: Fraction | None, height: int = 48, width: int = 64) -> Mask:
    picture = np.full((height, width, 3), 10 * index % 250, np.uint8)
    frame = Frame(labels(index)[..., None].repeat(3, 2), index, pts, (height, width), picture)
    reset = ResetCause.NEW if index == 0 else None
    return Mask(labels(index), frame, min(index, 2), reset, 1, StageTimes(0.0, 1.0, 0.0, 10.0))


def record(
    folder: Path, times: Sequence[Fraction], info: VideoInfo, artefacts: Sequence[str]
) -> None:
    parts = folder / "parts"
    if folder.is_dir():
        parts.mkdir(exist_ok=True)
    recorder = Recorder(parts, SPEC, info, artefacts)
    for index, pts in enumerate(times):
        recorder.write(mask(index, pts, info.height, info.width))
    finish(recorder, folder, info, artefacts)


def begin(folder: Path, artefacts: Sequence[str]) -> Recorder:
    (folder / "parts").mkdir()
    return Recorder(folder / "parts", SPEC, video(), artefacts)


def finish(recorder: Recorder, folder: Path, info: VideoInfo, artefacts: Sequence[str]) -> None:
    """Close a recorder that writes in ``folder``/parts, and make the artefacts of that one part."""
    recorder.close()
    join_parts([folder / "parts"], folder, SPEC, info, artefacts)
    shutil.rmtree(folder / "parts")


def read(path: Path, pixels: str) -> tuple[list[Fraction], list[Any]]:
    with av.open(path) as container:
        frames = list(container.decode(video=0))
        tick = container.streams.video[0].time_base
        assert tick is not None
        times = [frame.pts * tick for frame in frames if frame.pts is not None]
        return times, [frame.to_ndarray(format=pixels) for frame in frames]


TIMES = {
    "constant": ([Fraction(i, 25) for i in range(8)], Fraction(1, 25)),
    "ntsc": ([Fraction(i * 1001, 30_000) for i in range(8)], Fraction(1, 30_000)),
    "coarse ntsc": ([Fraction(i * 1001, 30_000) for i in range(8)], Fraction(1001, 30_000)),
    "variable": ([Fraction(t, 90_000) for t in (0, 1, 2, 9000, 9001, 180_000, 900_000)],
                 Fraction(1, 90_000)),
    "late start": ([Fraction(t, 1000) for t in (1500, 1540, 1580)], Fraction(1, 1000)),
    "a beginning between milliseconds": (
        [Fraction(300_033 + 3750 * i, 90_000) for i in range(4)], Fraction(1, 90_000)),
    "a beginning after a day": ([Fraction(90_000 + i) for i in range(3)], Fraction(1, 90_000)),
    "microseconds": ([Fraction(t, 10**6) for t in (1, 2, 40_001, 2_000_003)], Fraction(1, 10**6)),
    "44.1 kHz in nanoseconds": (
        [Fraction(22_675 * t, 10**9) for t in (0, 1765, 3528)], Fraction(907, 40_000_000)),
    "odd tick": ([Fraction(i * 1024, 15_360) for i in range(8)], Fraction(1, 15_360)),
}  # fmt: skip


@pytest.mark.parametrize("kind", TIMES)
def test_masks_come_back_identical_at_their_times(tmp_path: Path, kind: str) -> None:
    times, tick = TIMES[kind]
    record(tmp_path, times, video(tick=tick), ["masks.mkv"])
    found, pictures = read(tmp_path / "masks.mkv", "gray")
    assert max(abs(a - b) for a, b in zip(found, times, strict=True)) <= Fraction(1, 200_000)
    assert [round(pts / tick) * tick for pts in found] == times
    for index, picture in enumerate(pictures):
        np.testing.assert_array_equal(picture, resize_labels(labels(index), 48, 64))


@pytest.mark.parametrize("kind", TIMES)
def test_overlay_keeps_the_times_exactly(tmp_path: Path, kind: str) -> None:
    times, tick = TIMES[kind]
    record(tmp_path, times, video(tick=tick), ["overlay.mp4"])
    found, _ = read(tmp_path / "overlay.mp4", "rgb24")
    assert found == times


def lasts(path: Path) -> tuple[list[Fraction], Fraction]:
    """Return how long the packets are shown, and when the last one ends, in seconds."""
    with av.open(path) as container:
        tick = container.streams.video[0].time_base
        packets = [packet for packet in container.demux(video=0) if packet.size]
        assert tick is not None and container.duration is not None
        end = Fraction(container.duration, av.time_base) + Fraction(
            container.start_time or 0, av.time_base
        )
        return [(packet.duration or 0) * tick for packet in packets], end


@pytest.mark.parametrize("name", ["masks.mkv", "overlay.mp4"])
def test_each_picture_lasts_till_the_next_and_the_last_as_long_as_it_is_told(
    tmp_path: Path, name: str
) -> None:
    recorder = begin(tmp_path, [name])
    for index, pts in enumerate((Fraction(0), Fraction(1), Fraction(3))):
        given = mask(index, pts)
        told = replace(given.frame, duration=Fraction(3) if index == 2 else Fraction(9))
        recorder.write(replace(given, frame=told))
    finish(recorder, tmp_path, video(), [name])
    assert lasts(tmp_path / name) == ([1, 2, 3], 6)


@pytest.mark.parametrize("name", ["masks.mkv", "overlay.mp4"])
def test_one_picture_of_unknown_length_lasts_for_one_of_the_rate(tmp_path: Path, name: str) -> None:
    record(tmp_path, [Fraction(2)], video(), [name])
    shown, _ = lasts(tmp_path / name)
    assert shown == [Fraction(1, 25)]


def test_a_pause_that_mp4_cannot_hold_is_shortened_and_no_failure(tmp_path: Path) -> None:
    nanosecond = Fraction(1, 10**9)
    record(
        tmp_path, [Fraction(0), Fraction(3), Fraction(4)], video(tick=nanosecond), ["overlay.mp4"]
    )
    longest = (2**31 - 2) * nanosecond
    assert read(tmp_path / "overlay.mp4", "rgb24")[0] == [0, longest, 4]


def test_overlay_shows_the_classes_and_plays_in_browsers(tmp_path: Path) -> None:
    recorder = begin(tmp_path, ["overlay.mp4"])
    for index in range(3):
        frame = Frame(np.zeros((24, 32, 3), np.uint8), index, Fraction(index, 25))
        recorder.write(Mask(np.full((24, 32), index, np.uint8), frame))
    finish(recorder, tmp_path, video(), ["overlay.mp4"])
    _, pictures = read(tmp_path / "overlay.mp4", "rgb24")
    for index, picture in enumerate(pictures):
        assert np.abs(picture.mean((0, 1)) - np.array(COLOURS[index]) / 2).max() < 6
    data = (tmp_path / "overlay.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(tmp_path / "overlay.mp4") as container:
        codec = container.streams.video[0].codec_context
        assert (codec.name, codec.pix_fmt, codec.colorspace) == ("h264", "yuv420p", 1)


def test_odd_sizes(tmp_path: Path) -> None:
    times = [Fraction(i, 25) for i in range(3)]
    record(tmp_path, times, video(47, 63), list(ARTEFACTS))
    assert read(tmp_path / "masks.mkv", "gray")[1][0].shape == (47, 63)
    assert read(tmp_path / "overlay.mp4", "rgb24")[1][0].shape == (48, 64, 3)


def test_pictures_that_change_size_are_scaled_to_the_videos(tmp_path: Path) -> None:
    recorder = begin(tmp_path, list(ARTEFACTS))
    recorder.write(mask(0, Fraction(0)))
    recorder.write(mask(1, Fraction(1, 25), 80, 96))
    finish(recorder, tmp_path, video(), list(ARTEFACTS))
    for name, pixels in (("masks.mkv", "gray"), ("overlay.mp4", "rgb24")):
        assert {p.shape[:2] for p in read(tmp_path / name, pixels)[1]} == {(48, 64)}


def test_the_archive_holds_a_palette_png_for_each_frame(tmp_path: Path) -> None:
    record(tmp_path, [Fraction(i, 25) for i in range(3)], video(), ["masks.zip"])
    with zipfile.ZipFile(tmp_path / "masks.zip") as archive:
        assert archive.namelist() == ["000000.png", "000001.png", "000002.png"]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        data = archive.read("000001.png")
    expected = resize_labels(labels(1), 48, 64)
    np.testing.assert_array_equal(decode_mask(data, "png", 64, 48), expected)
    seen = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    np.testing.assert_array_equal(seen, np.array(COLOURS, np.uint8)[expected])


def test_the_summary(tmp_path: Path) -> None:
    times = [Fraction(i * 1001, 30_000) for i in range(3)]
    record(tmp_path, times, video(), ["summary.json"])
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["model"]["name"] == "tiny" and summary["model"]["licence"] == "CC-BY-NC-4.0"
    assert (summary["video"]["width"], summary["video"]["height"]) == (64, 48)
    assert [entry["name"] for entry in summary["classes"]] == ["class0", "class1", "class2"]
    assert [Fraction(row["pts"]) for row in summary["frames"]] == times
    assert [row["memory"] for row in summary["frames"]] == [0, 1, 2]
    for index, row in enumerate(summary["frames"]):
        assert row["areas"]["class1"] == pytest.approx((labels(index) == 1).mean(), abs=1e-6)
        assert sum(row["areas"].values()) == pytest.approx(1, abs=1e-5)
    assert summary["totals"]["frames"] == 3 and summary["totals"]["seen"]["class0"] == 3
    assert summary["resets"] == [{"frame": 0, "cause": "new"}]
    assert summary["timing"]["step"] == {"mean_ms": 10.0, "max_ms": 10.0}


def test_only_what_is_asked_for(tmp_path: Path) -> None:
    record(tmp_path, [Fraction(0)], video(), ["masks.zip", "summary.json"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["masks.zip", "summary.json"]


def test_files_have_their_names_only_when_complete(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, SPEC, video(), list(ARTEFACTS))
    recorder.write(mask(0, Fraction(0)))
    assert all(path.suffix == ".part" for path in tmp_path.iterdir())
    recorder.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(ARTEFACTS)
    recorder.abort()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(ARTEFACTS)


@pytest.mark.parametrize("written", [0, 2])
def test_abort_removes_everything(tmp_path: Path, written: int) -> None:
    recorder = Recorder(tmp_path, SPEC, video(), list(ARTEFACTS))
    for index in range(written):
        recorder.write(mask(index, Fraction(index, 25)))
    recorder.abort()
    recorder.abort()
    assert list(tmp_path.iterdir()) == []


def test_times_that_are_missing_or_do_not_rise(tmp_path: Path) -> None:
    names = ["masks.mkv", "overlay.mp4"]
    recorder = begin(tmp_path, names)
    for index, pts in enumerate((None, None, Fraction(1, 25), Fraction(0))):
        recorder.write(mask(index, pts))
    finish(recorder, tmp_path, video(), names)
    for name in names:
        times, _ = read(tmp_path / name, "rgb24")
        assert len(times) == 4 and times == sorted(set(times))


def test_nothing_to_record(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, SPEC, video(), list(ARTEFACTS))
    with pytest.raises(Fault, match="no mask"):
        recorder.close()
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_artefact(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"masks\.gif"):
        Recorder(tmp_path, SPEC, video(), ["masks.zip", "masks.gif"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ARTEFACTS)
def test_a_folder_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(Fault, match="could not be written"):
        record(tmp_path / "none", [Fraction(0)], video(), [name])


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """No file may grow past ``limit`` bytes: writing fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ARTEFACTS)
def test_a_full_disk_is_a_fault_and_leaves_nothing(tmp_path: Path, name: str) -> None:
    recorder = Recorder(tmp_path, SPEC, video(), [name])
    with pytest.raises(Fault, match="could not be written"), full_disk(500):
        for index in range(200):
            recorder.write(mask(index, Fraction(index, 25)))
        recorder.close()
    recorder.abort()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "aspect", [Fraction(64, 45), Fraction(10, 11), Fraction(45, 64), Fraction(1)]
)
@pytest.mark.parametrize("name", ["masks.mkv", "overlay.mp4"])
def test_pixels_keep_their_shape(tmp_path: Path, name: str, aspect: Fraction) -> None:
    info = replace(video(48, 64), pixel_aspect=aspect)
    record(tmp_path, [Fraction(i, 25) for i in range(2)], info, [name])
    with av.open(tmp_path / name) as container:
        stream = container.streams.video[0]
        assert (stream.sample_aspect_ratio or 1) == aspect
        frames = list(container.decode(stream))
        assert len(frames) == 2
        assert frames[0].color_range == (2 if name == "masks.mkv" else 1)
