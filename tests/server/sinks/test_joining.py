"""Parts that are joined make the artefacts of a video that was never cut."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from server.engines.fake import fake_spec
from server.errors import Fault
from server.frame import Frame, Losses, Mask, VideoInfo
from server.sinks.artefacts import Segmented
from server.sinks.encoding import OverlayVideo
from server.sinks.overlay import resize_labels
from server.sinks.recorder import ARTEFACTS, Recorder, join_parts
from server.sinks.style import DEFAULT

SPEC = fake_spec(24, 32)
TICK = Fraction(1, 90_000)
TIMES = [Fraction(3003 * n + (n % 3), 90_000) + 2 for n in range(40)]
"""A variable rate and a late beginning."""


def video(aspect: Fraction = Fraction(1)) -> VideoInfo:
    return VideoInfo(64, 48, None, None, Fraction(30), TICK, pixel_aspect=aspect)


def mask(number: int) -> Mask:
    random = np.random.default_rng(number)
    labels = random.integers(0, 3, (24, 32), np.uint8)
    picture = random.integers(0, 255, (48, 64, 3), np.uint8)
    duration = Fraction(7, 90_000) if number == len(TIMES) - 1 else None
    frame = Frame(picture[::2, ::2], number, TIMES[number], (48, 64), picture, duration=duration)
    return Mask(labels, frame, min(number, 2))


def record(folder: Path, info: VideoInfo, cuts: Sequence[int]) -> Path:
    """Record all masks in pieces that begin at 0 and at each of ``cuts``, and join them."""
    parts = []
    for first, end in zip((0, *cuts), (*cuts, len(TIMES)), strict=True):
        parts.append(folder / str(first))
        parts[-1].mkdir(parents=True)
        recorder = Recorder(parts[-1], SPEC, info, ARTEFACTS)
        for number in range(first, end):
            recorder.write(mask(number))
        recorder.close(Losses(damaged=1) if first else Losses())
    join_parts(parts, folder, SPEC, info, ARTEFACTS)
    return folder


def packets(path: Path) -> list[tuple[int | None, int | None, int | None]]:
    with av.open(path) as container:
        return [(p.pts, p.dts, p.duration) for p in container.demux(video=0) if p.size]


def pictures(path: Path) -> list[Any]:
    with av.open(path) as container:
        return [frame.to_ndarray() for frame in container.decode(video=0)]


@pytest.mark.parametrize("aspect", [Fraction(1), Fraction(64, 45)])
def test_joined_parts_hold_the_same_pictures_at_the_same_times(
    tmp_path: Path, aspect: Fraction
) -> None:
    info = video(aspect)
    whole = record(tmp_path / "whole", info, [])
    joined = record(tmp_path / "joined", info, [7, 8, 30])
    for name in ("masks.mkv", "overlay.mp4"):
        assert packets(joined / name) == packets(whole / name)
        with av.open(joined / name) as one, av.open(whole / name) as other:
            found, expected = one.streams.video[0], other.streams.video[0]
            assert one.duration == other.duration and one.start_time == other.start_time
            assert found.time_base == expected.time_base
            assert (found.sample_aspect_ratio or 1) == (expected.sample_aspect_ratio or 1) == aspect
            assert found.codec_context.extradata == expected.codec_context.extradata
    np.testing.assert_array_equal(pictures(joined / "masks.mkv"), pictures(whole / "masks.mkv"))
    assert len(pictures(joined / "overlay.mp4")) == len(TIMES)
    assert (joined / "masks.zip").read_bytes() == (whole / "masks.zip").read_bytes()
    rows = [json.loads((folder / "summary.json").read_text()) for folder in (joined, whole)]
    assert rows[0].pop("totals")["losses"] == {"undecodable": 0, "damaged": 3, "missing": 0}
    assert rows[1].pop("totals")["frames"] == len(TIMES)
    assert rows[0] == rows[1]


def test_the_same_parts_give_the_same_bytes(tmp_path: Path) -> None:
    one, two = (record(tmp_path / name, video(), [10, 20]) for name in ("one", "two"))
    for name in ARTEFACTS:
        assert (one / name).read_bytes() == (two / name).read_bytes(), name


def test_the_index_of_the_overlay_is_in_front_and_its_parts_begin_with_key_pictures(
    tmp_path: Path,
) -> None:
    overlay = record(tmp_path, video(), [10, 20]) / "overlay.mp4"
    data = overlay.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    with av.open(overlay) as container:
        keys = [p.is_keyframe for p in container.demux(video=0) if p.size]
    assert keys[0] and keys[10] and keys[20]


def test_the_parts_of_the_overlay_are_one_growing_file(tmp_path: Path) -> None:
    """The bytes that a viewer gets from a running job: the first part, and the others without their
    heads."""
    parts = []
    for first, end in zip((0, 10, 20), (10, 20, len(TIMES)), strict=True):
        parts.append(tmp_path / f"{first}.mp4")
        part = OverlayVideo(parts[-1], SPEC, video(), DEFAULT)
        for number in range(first, end):
            given = mask(number)
            labels = resize_labels(given.labels, 48, 64)
            part.add(Segmented(given, labels, TIMES[number], given.frame.duration))
        part.finish()
    heads = [data[: head_of(data)] for data in map(Path.read_bytes, parts)]
    assert heads[0] == heads[1] == heads[2]
    grown = heads[0] + b"".join(part.read_bytes()[len(heads[0]) :] for part in parts)
    (tmp_path / "grown.mp4").write_bytes(grown)
    whole = record(tmp_path, video(), []) / "overlay.mp4"
    assert [pts for pts, *_ in packets(tmp_path / "grown.mp4")] == [
        pts for pts, *_ in packets(whole)
    ]
    assert len(pictures(tmp_path / "grown.mp4")) == len(TIMES)


def head_of(data: bytes) -> int:
    """The number of bytes before the first fragment."""
    return data.index(b"moof") - 4


def test_a_part_of_the_overlay_is_readable_while_it_grows(tmp_path: Path) -> None:
    part, sizes, read = OverlayVideo(tmp_path / "part", SPEC, video(), DEFAULT), [], []
    for number in range(300):
        given = mask(number % len(TIMES))
        pts = Fraction(number, 30)
        part.add(Segmented(given, resize_labels(given.labels, 48, 64), pts))
        data = (tmp_path / "part").read_bytes() if (tmp_path / "part").exists() else b""
        if len(data) != (sizes or [0])[-1]:
            sizes.append(len(data))
            (tmp_path / "seen.mp4").write_bytes(data)
            read.append(len(packets(tmp_path / "seen.mp4")) if b"moof" in data else 0)
    part.discard()
    assert sizes == sorted(sizes)
    assert read == sorted(read) and len(set(read)) > 5, "it grows by a fragment per second"
    assert read[-1] > 200, "only what the encoder holds and the last fragment are not there"


def test_the_archive_lists_all_members_once(tmp_path: Path) -> None:
    with zipfile.ZipFile(record(tmp_path, video(), [3]) / "masks.zip") as archive:
        assert archive.namelist() == [f"{number:06d}.png" for number in range(len(TIMES))]
        assert archive.testzip() is None


def test_parts_that_were_encoded_differently_are_refused(tmp_path: Path) -> None:
    parts = [tmp_path / name for name in ("a", "b")]
    for part, width in zip(parts, (64, 128), strict=True):
        part.mkdir()
        recorder = Recorder(part, SPEC, replace(video(), width=width), ["overlay.mp4"])
        recorder.write(mask(0))
        recorder.close()
    with pytest.raises(Fault, match="encoded differently"):
        join_parts(parts, tmp_path, SPEC, video(), ["overlay.mp4"])
    assert not (tmp_path / "overlay.mp4").exists()
