"""Real footage for the scene-cut detector: clips and picture sequences without a cut."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.random import Generator
from PIL import Image

from benchmarks.scene_clips import HEIGHT, WIDTH, Shown
from server.frame import Pixels, host_pixels
from server.sources.container import ContainerSource

SCENES = 24
"""Scenes in one joined clip."""

KEPT = 4
"""One of this many rows and columns of a picture is kept: those that the detector examines."""

SEQUENCE_RATE = 1
"""Pictures per second of CamVid's sequences."""


@dataclass(frozen=True, slots=True, eq=False)
class Footage:
    """``pictures``: for each rate in pictures per second, (time, picture). ``place`` is the same
    for clips of one place, which are not joined to each other."""

    name: str
    place: str
    pictures: dict[int, list[tuple[float, Pixels]]] = field(default_factory=dict)

    def shown(self, rate: int) -> Iterator[Shown]:
        return (Shown(pixels, pts) for pts, pixels in self.pictures[rate])


def read_all(data: Path, rates: Sequence[int]) -> list[Footage]:
    """Read ``videos/*.mp4`` and the sequences of ``camvid`` in this folder."""
    paths = sorted(data.glob("videos/*.mp4"))
    clips = [asyncio.run(read_clip(path, rates)) for path in paths]
    return clips + read_sequences(data)


async def read_clip(path: Path, rates: Sequence[int]) -> Footage:
    """Read one clip once, and keep its pictures at each rate that approximately fits its own."""
    footage = Footage(path.stem, place(path.stem), {rate: [] for rate in rates})
    async with aclosing(ContainerSource(path, HEIGHT, WIDTH)) as source:
        async for frame in source:
            assert frame.pts is not None
            for rate, taken in footage.pictures.items():
                if not taken or int(frame.pts * rate) > int(taken[-1][0] * rate):
                    taken.append((float(frame.pts), thinned(host_pixels(frame.pixels))))
    return footage


def read_sequences(data: Path) -> list[Footage]:
    """Read CamVid's pictures, a second apart, by sequence; the dense one is there as a clip."""
    paths = defaultdict(list)
    for path in (*data.glob("camvid/train/*"), *data.glob("camvid/test/*")):
        paths[path.name.split("_")[0]].append(path)
    return [
        Footage(f"camvid {name}", place(name), {SEQUENCE_RATE: [*read_pictures(found)]})
        for name, found in sorted(paths.items())
    ]


def read_pictures(paths: Sequence[Path]) -> Iterator[tuple[float, Pixels]]:
    for index, path in enumerate(sorted(paths, key=lambda path: path.name)):
        picture = Image.open(path).convert("RGB").resize((WIDTH, HEIGHT))
        yield index / SEQUENCE_RATE, thinned(np.asarray(picture))


def place(name: str) -> str:
    """Return a clip's place; CamVid's sequence 0016E5 exists twice."""
    return "0016E5" if "0016E5" in name else name


def thinned(pixels: Pixels) -> Pixels:
    """Keep only the pixels that the detector examines, so that hours fit in memory."""
    return pixels[KEPT // 2 :: KEPT, KEPT // 2 :: KEPT].copy()


def joined(clips: Sequence[Footage], rate: int, random: Generator) -> Iterator[Shown]:
    """Join parts of 0.5 to 2 s, at least 6 pictures, of random clips at random places."""
    pts, before = 0.0, ""
    for index in range(SCENES):
        others = [one for one in clips if one.place != before]
        clip = others[random.integers(len(others))]
        pictures, before = clip.pictures[rate], clip.place
        length = int(random.integers(max(6, round(rate / 2)), max(12, round(2 * rate))))
        start = int(random.integers(0, max(1, len(pictures) - length)))
        for nth, (_, pixels) in enumerate(pictures[start : start + length]):
            yield Shown(pixels, pts, is_cut=nth == 0 and index > 0)
            pts += 1 / rate
