"""Short pieces of real footage: what the ranges of a graph are measured on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.spec import ModelSpec
from server.frame import host_pixels
from server.sources.container import ContainerSource
from server.sources.picture import fit

Picture = NDArray[np.uint8]
Clip = Sequence[Picture]

LENGTH = 4
"""Frames that follow one another in a clip: memory fills, and is looked at when it is full."""

EVERY = 28
"""Frames from one clip's first to the next one's: other scenes have other ranges."""

PICTURES = (".jpg", ".jpeg", ".png")


class FootageError(ValueError):
    """Footage that is absent or empty; the message says what was looked for."""


def read_clips(footage: Path, spec: ModelSpec, clips: int) -> list[Clip]:
    """At most ``clips`` clips of a video, or of a folder's pictures in the order of their names;
    frames are RGB (H, W, 3) of the model's size.

    Raises FootageError, or the source's errors for a video that cannot be read.
    """
    if footage.is_dir():
        found = _of_folder(footage, spec, clips * LENGTH)
    elif footage.is_file():
        found = asyncio.run(_of_video(footage, spec, clips * LENGTH))
    else:
        raise FootageError(f"{footage} is neither a video nor a folder of pictures")
    if not found:
        raise FootageError(f"{footage} holds no frame: a video or {', '.join(PICTURES)} is wanted")
    return [found[start : start + LENGTH] for start in range(0, len(found), LENGTH)]


def is_taken(index: int) -> bool:
    """Does the frame of this index belong to a clip?"""
    return index % EVERY < LENGTH


def _of_folder(folder: Path, spec: ModelSpec, count: int) -> list[Picture]:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    taken = [path for index, path in enumerate(paths) if is_taken(index)]
    return [_read(path, spec) for path in taken[:count]]


def _read(path: Path, spec: ModelSpec) -> Picture:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FootageError(f"{path} cannot be read as a picture")
    picture = np.ascontiguousarray(image[:, :, ::-1], dtype=np.uint8)
    return fit(picture, spec.height, spec.width)


async def _of_video(path: Path, spec: ModelSpec, count: int) -> list[Picture]:
    found: list[Picture] = []
    index = 0
    async with ContainerSource(path, spec.height, spec.width) as source:
        async for frame in source:
            if is_taken(index):
                found.append(host_pixels(frame.pixels))
            if len(found) == count:
                break
            index += 1
    return found
