"""Sizes that an encoder does not support are known before a video is accepted."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import pytest

from server.errors import BadVideo
from server.frame import VideoInfo
from server.sinks.coding import CODINGS, check_encodable
from server.sinks.recorder import ARTEFACTS

ALL = tuple(ARTEFACTS)
WITHOUT_VIDEO = ("masks.zip", "summary.json")


def pictures(width: int, height: int) -> VideoInfo:
    return VideoInfo(width, height, None, None, Fraction(25), Fraction(1, 25))


@pytest.mark.parametrize(
    ("width", "height", "artefacts"),
    [
        (64, 48, ALL),
        (1, 1, ALL),
        (181, 1, ALL),
        (63, 47, ALL),
        (16383, 20, ALL),
        (16384, 20, ALL),
        (17000, 200, ("masks.mkv", *WITHOUT_VIDEO)),
        (200, 17000, ("masks.mkv", *WITHOUT_VIDEO)),
        (1, 181, ("overlay.mp4", *WITHOUT_VIDEO)),
    ],
)
def test_what_is_taken_can_be_written(
    tmp_path: Path, width: int, height: int, artefacts: Sequence[str]
) -> None:
    info = pictures(width, height)
    check_encodable(info, artefacts)
    for name, coding in CODINGS.items():
        if name in artefacts:
            with av.open(tmp_path / name, "w") as container:
                stream = coding.add_to(container, info)
                frame = av.VideoFrame(stream.width, stream.height, coding.pix_fmt)
                container.mux(stream.encode(frame))
                container.mux(stream.encode(None))


@pytest.mark.parametrize(
    ("width", "height", "name"),
    [
        (17000, 200, "overlay.mp4"),
        (200, 17000, "overlay.mp4"),
        (16385, 20, "overlay.mp4"),
        (1, 181, "masks.mkv"),
    ],
)
def test_what_cannot_be_written_is_refused_by_name(width: int, height: int, name: str) -> None:
    with pytest.raises(BadVideo, match=f"{name} cannot be made from pictures of {width}x{height}"):
        check_encodable(pictures(width, height), ALL)
    check_encodable(pictures(width, height), [other for other in ALL if other != name])
