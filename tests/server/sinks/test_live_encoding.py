from __future__ import annotations

import io
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.reformatter import ColorPrimaries, ColorRange

from server.frame import Frame, Mask
from server.sinks import live_encoding
from server.sinks.live_encoding import LIVE_CODINGS, LiveCoding, LiveEncoder, chosen_coding

PALETTE = np.array([(0, 0, 255), (255, 0, 0)], np.uint8)


def encoded(times: Sequence[Fraction], height: int = 48, width: int = 64) -> list[av.VideoFrame]:
    """The pictures that a reader gets of masks at these times."""
    file = io.BytesIO()
    encoder = LiveEncoder(file, height, width, PALETTE)
    for seq, pts in enumerate(times):
        picture = np.full((height, width, 3), 128, np.uint8)
        frame = Frame(picture, seq, pts=pts, size=(height, width))
        encoder.add(Mask(np.full((height, width), seq % 2, np.uint8), frame))
    encoder.close()
    with av.open(io.BytesIO(file.getvalue()), format="nut") as container:
        return list(container.decode(video=0))


def test_times_begin_at_0_and_rise() -> None:
    given = [Fraction(10), Fraction(10) + Fraction(1, 3), Fraction(10), Fraction(12)]
    found = [frame.pts * frame.time_base for frame in encoded(given)]
    assert found == [0, Fraction(1, 3), Fraction(1, 3) + Fraction(1, 90_000), 2]


def test_a_key_frame_comes_every_two_seconds_whatever_the_rate() -> None:
    for rate in (1, 5):
        frames = encoded([Fraction(seq, rate) for seq in range(6 * rate + 1)])
        keys = [float(frame.pts * frame.time_base) for frame in frames if frame.key_frame]
        assert keys == [0, 2, 4, 6]


def test_every_picture_is_in_the_stream_at_once() -> None:
    file = io.BytesIO()
    encoder = LiveEncoder(file, 48, 64, PALETTE)
    sizes = []
    for seq in range(4):
        frame = Frame(np.zeros((48, 64, 3), np.uint8), seq, pts=Fraction(seq, 25), size=(48, 64))
        encoder.add(Mask(np.zeros((48, 64), np.uint8), frame))
        sizes.append(len(file.getvalue()))
    assert sizes == sorted(set(sizes)), "nothing is held back"
    encoder.close()


def test_colours_are_those_of_the_overlay_and_marked() -> None:
    first, second = encoded([Fraction(0), Fraction(1)], 47, 63)[:2]
    assert (first.width, first.height) == (64, 48)
    assert (first.color_primaries, first.color_range) == (ColorPrimaries.BT709, ColorRange.MPEG)
    blue, red = (one.to_ndarray(format="rgb24")[24, 32].astype(int) for one in (first, second))
    assert blue == pytest.approx([64, 64, 192], abs=6)
    assert red == pytest.approx([192, 64, 64], abs=6)


def test_the_first_encoder_that_works_is_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = LIVE_CODINGS[-1]
    absent = LiveCoding("mpeg4", {}, device=str(tmp_path / "absent"))
    unknown = LiveCoding("h264_of_another_ffmpeg", {}, device=str(tmp_path))
    refusing = LiveCoding("libx264", {"profile": "nothing"})
    working = LiveCoding("libx264", {"preset": "ultrafast"}, device=str(tmp_path))
    monkeypatch.setattr(live_encoding, "LIVE_CODINGS", (absent, unknown, refusing, last))
    assert chosen_coding(48, 64) is last
    monkeypatch.setattr(live_encoding, "LIVE_CODINGS", (absent, working, last))
    assert chosen_coding(48, 64) is working
