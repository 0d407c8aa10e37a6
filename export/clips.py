"""Read short clips of real footage, on which the ranges of a graph are measured."""

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
from server.sources.pictures.picture import fit

Picture = NDArray[np.uint8]
Clip = Sequence[Picture]

LENGTH = 4
"""Consecutive frames in a clip: enough to fill the memory and to measure it when it is full."""

EVERY = 28
"""Frames from the start of one clip to the start of the next, since ranges differ by scene."""

PICTURES = (".jpg", ".jpeg", ".png")


class FootageError(ValueError):
    """The footage is missing, empty or unreadable; the message says what is needed."""


def read_clips(footage: Path, spec: ModelSpec, clips: int) -> list[Clip]:
    """Return at most ``clips`` clips of a video, or of a folder's pictures in the order of names.

    Frames are RGB (H, W, 3) of the model's size. Raises FootageError if there is no frame, or the
    source's error if a video cannot be read.
    """
    if footage.is_dir():
        found = _of_folder(footage, spec, clips * LENGTH)
    elif footage.is_file():
        found = asyncio.run(_of_video(footage, spec, clips * LENGTH))
    else:
        raise FootageError(f"{footage} must be a video or a folder of pictures.")
    if not found:
        raise FootageError(
            f"{footage} holds no frame; name a video or a folder with {', '.join(PICTURES)} files."
        )
    return [found[start : start + LENGTH] for start in range(0, len(found), LENGTH)]


def is_taken(index: int) -> bool:
    """Return whether the frame with this index belongs to a clip."""
    return index % EVERY < LENGTH


def _of_folder(folder: Path, spec: ModelSpec, count: int) -> list[Picture]:
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES)
    taken = [path for index, path in enumerate(paths) if is_taken(index)]
    return [_read(path, spec) for path in taken[:count]]


def _read(path: Path, spec: ModelSpec) -> Picture:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FootageError(f"{path} cannot be read as a picture; remove or replace it.")
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
