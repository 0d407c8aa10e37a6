"""Losses in decoding are counted."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from server.errors import BadVideo
from server.frame import Losses
from server.sources.decoding import Counts, Reading, read_frames
from server.sources.losses import Tally
from server.sources.probing import VideoLimits, probe

Film = Callable[..., Path]


def noise(index: int) -> NDArray[np.uint8]:
    return np.random.default_rng(index).integers(0, 255, (48, 64, 3), np.uint8)


def damaged(path: Path, damage: Callable[[int, bytes], bytes]) -> Path:
    """Return a copy with each packet changed by ``damage(index, data)``, without empty ones."""
    worse = path.with_name(f"worse{path.suffix}")
    with av.open(path) as given, av.open(worse, "w") as taken:
        source = given.streams.video[0]
        stream = taken.add_stream_from_template(source)
        for index, packet in enumerate(p for p in given.demux(source) if p.size):
            changed = av.Packet(damage(index, bytes(packet)))
            if not changed.size:
                continue
            changed.pts, changed.dts = packet.pts, packet.dts
            changed.time_base, changed.is_keyframe = packet.time_base, packet.is_keyframe
            changed.stream = stream
            taken.mux(changed)
    return worse


def read(path: Path) -> tuple[list[bool], Losses]:
    """Return which pictures are damaged, and the losses."""
    packets, counts = probe(path, VideoLimits()).frames, Counts()
    frames = read_frames(Reading(path, 24, 32, False, None, 10**7, None, 1), counts)
    marks = [frame.damaged for frame in frames]
    return marks, counts.tally.losses(packets)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.ts", "libx264", "yuv420p"),
        ("a.avi", "mjpeg", "yuvj420p"),
        ("a.mkv", "mpeg2video", "yuv420p"),
        ("a.webm", "libvpx-vp9", "yuv420p"),
        ("b.webm", "libvpx", "yuv420p"),
        ("a.mov", "prores_ks", "yuv422p10le"),
        ("b.avi", "mpeg4", "yuv420p"),
    ],
)
def test_a_whole_video_has_no_losses(film: Film, name: str, codec: str, pix_fmt: str) -> None:
    marks, losses = read(film(name, frames=30, codec=codec, pix_fmt=pix_fmt))
    assert marks == [False] * 30
    assert losses == Losses() and not losses


def test_a_packet_that_is_refused_is_counted(film: Film) -> None:
    path = film("a.mkv", frames=10, codec="libx264", options={"g": "1"}, pictures=noise)
    worse = damaged(path, lambda n, data: b"\xff" * len(data) if n in (3, 4) else data)
    marks, losses = read(worse)
    assert len(marks) == 8
    assert losses == Losses(undecodable=2)


def test_a_picture_that_is_partly_guessed_is_marked(film: Film) -> None:
    path = film("a.mkv", frames=10, codec="libx264", options={"g": "1"}, pictures=noise)

    def damage(index: int, data: bytes) -> bytes:
        half = len(data) // 2
        return data[:half] + b"\xff" * (len(data) - half) if index == 5 else data

    marks, losses = read(damaged(path, damage))
    assert marks == [index == 5 for index in range(10)]
    assert losses == Losses(damaged=1)


def test_pictures_without_their_references_are_missing(film: Film) -> None:
    path = film("a.mkv", frames=30, options={"g": "10", "sc_threshold": "0", "bf": "0"})
    marks, losses = read(damaged(path, lambda n, data: b"" if n == 0 else data))
    assert len(marks) == 20
    assert losses == Losses(missing=9)


def test_fields_are_no_missing_pictures() -> None:
    def tally(interlaced: bool) -> Tally:
        made = Tally()
        frame: Any = SimpleNamespace(is_corrupt=False, interlaced_frame=interlaced)
        made.add([frame] * 5)
        return made

    assert tally(False).losses(10) == Losses(missing=5)
    assert tally(True).losses(10) == tally(False).losses(None) == Losses()


@pytest.mark.parametrize(
    ("losses", "frames", "most"),
    [
        (Losses(), 1, False),
        (Losses(undecodable=10), 10, False),
        (Losses(undecodable=11), 10, True),
        (Losses(damaged=5), 10, False),
        (Losses(damaged=6), 10, True),
        (Losses(missing=11), 10, True),
        (Losses(4, 4, 4), 10, True),
        (Losses(1, 1, 1), 10, False),
    ],
)
def test_most_of_a_video(losses: Losses, frames: int, most: bool) -> None:
    assert losses.most_of(frames) is most


def test_an_encrypted_video_is_refused(film: Film) -> None:
    options = {
        "encryption_scheme": "cenc-aes-ctr",
        "encryption_key": "76a6c65c5ea762046bd749a2e632ccbb",
        "encryption_kid": "a7e61c373e219033c21091fa607bf3b8",
    }
    path = film("a.mp4", container_options=options, tick=Fraction(1, 25))
    with pytest.raises(BadVideo, match="encrypted"):
        probe(path, VideoLimits())
