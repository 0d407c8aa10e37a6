"""poster.jpg: one picture of a video with its mask drawn on it, as a thumbnail."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from models.spec import ModelSpec
from server.frame import Pixels, VideoInfo, host_pixels
from server.sinks.areas import areas
from server.sinks.artefacts import Artefact, Replacing, Segmented
from server.sinks.overlay import encode_jpeg, overlay, palette
from server.sinks.style import Style

LONGEST = 640
"""Maximum pixels of the longer side."""

LEAST_SHARE = 0.01
"""Minimum share of the mask for a class to count as seen."""

_COMMENT = re.compile(rb"frame=(\d+) classes=(\d+)")
_HEAD_BYTES = 64


@dataclass(frozen=True, slots=True)
class Shot:
    """The frame that a poster shows, and how many classes are seen in it."""

    frame: int
    classes: int

    def is_better_than(self, other: Shot | None) -> bool:
        """Return whether it is the better poster: more classes or, with as many, earlier."""
        return other is None or (-self.classes, self.frame) < (-other.classes, other.frame)


class Poster(Artefact):
    """The first of the frames in which the most of the shown classes are seen.

    The file is complete after the first frame, and is replaced when a better frame comes, which
    happens at most once per class. It has square pixels and at most LONGEST on a side. Its comment
    names the frame.
    """

    def __init__(self, path: Path, spec: ModelSpec, info: VideoInfo, style: Style) -> None:
        self._path = path
        self._size = poster_size(info)
        self._names = [label.name for label in spec.classes]
        self._counted = [self._names[index] for index in style.shown(spec.classes)]
        self._palette = palette(spec.classes)
        self._style, self._is_shown = style, style.is_shown(spec.classes)
        self._best: Shot | None = None

    def add(self, segmented: Segmented) -> None:
        shot = self._shot(segmented)
        if shot.is_better_than(self._best):
            self._best = shot
            jpeg = commented(encode_jpeg(self._drawn(segmented)), shot)
            with Replacing(self._path) as fresh:
                fresh.write_bytes(jpeg)

    def finish(self) -> None:
        pass

    def discard(self) -> None:
        pass

    @classmethod
    def join(
        cls, parts: Sequence[Path], path: Path, _spec: ModelSpec, _info: VideoInfo, _style: Style
    ) -> None:
        best: tuple[Shot, bytes] | None = None
        for part in parts:
            jpeg = part.read_bytes()
            if best is None or shot_of(jpeg).is_better_than(best[0]):
                best = shot_of(jpeg), jpeg
        assert best is not None, "a video has at least one part"
        path.write_bytes(best[1])

    def _shot(self, segmented: Segmented) -> Shot:
        shares = areas(segmented.mask.labels, self._names)
        seen = sum(shares[name] >= LEAST_SHARE for name in self._counted)
        return Shot(segmented.mask.frame.seq, seen)

    def _drawn(self, segmented: Segmented) -> Pixels:
        frame = segmented.mask.frame
        picture = host_pixels(frame.pixels) if frame.original is None else frame.original
        height, width = self._size
        small = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        labels, opacity = segmented.mask.labels, self._style.opacity
        return overlay(np.asarray(small, np.uint8), labels, self._palette, opacity, self._is_shown)


def poster_size(info: VideoInfo) -> tuple[int, int]:
    """Return the (height, width) of a video's poster."""
    height, width = info.display_size
    scale = min(1.0, LONGEST / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def commented(jpeg: bytes, shot: Shot) -> bytes:
    """Return a JPEG with a comment that says what it shows."""
    text = f"frame={shot.frame} classes={shot.classes}".encode()
    head = 4 + int.from_bytes(jpeg[4:6], "big")  # JFIF's own segment has to come first
    comment = b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text
    return jpeg[:head] + comment + jpeg[head:]


def shot_of(jpeg: bytes) -> Shot:
    """Return the shot that a poster shows, from its comment."""
    found = _COMMENT.search(jpeg[:_HEAD_BYTES])
    assert found is not None, "a poster has a comment"
    return Shot(int(found[1]), int(found[2]))
