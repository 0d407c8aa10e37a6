"""Frames to send: turn any iterable of pictures into an async iterator of encoded ones."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from clients.python.errors import BadFootage
from protocol import InputEncoding

Picture = bytes | NDArray[np.uint8]
"""A picture already encoded, or RGB (height, width, 3) uint8."""

JPEG_QUALITY = 90
LEAVE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture to segment. ``pts`` is in seconds; ``reset`` clears the memory before it."""

    picture: Picture
    pts: float | None = None
    reset: bool = False

    def __post_init__(self) -> None:
        if self.pts is not None and not math.isfinite(self.pts):
            raise BadFootage(f"A frame's pts must be a finite number of seconds, not {self.pts}.")


Frames = Iterable[Frame | Picture] | AsyncIterable[Frame | Picture]

Encode = Callable[[Picture], bytes]


def encode_picture(picture: Picture, encoding: InputEncoding) -> bytes:
    """Return the bytes to send: an array is encoded, bytes are kept. Raises BadFootage."""
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return bytes(picture)
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
        raise BadFootage(
            f"A picture must be bytes or an array (height, width, 3) of uint8, "
            f"not {picture.shape} of {picture.dtype}."
        )
    if encoding is InputEncoding.RGB24:
        return picture.tobytes()
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if encoding is InputEncoding.JPEG else []
    return cv2.imencode(f".{encoding}", bgr, quality)[1].tobytes()


class Pictures:
    """An async iterator of (frame, encoded bytes) over any ``Frames``.

    Encoding, and reading a plain iterable, run in a thread. :meth:`aclose` closes the iterable
    if it can be closed. A read that is still running LEAVE_SECONDS later is left behind.
    """

    def __init__(self, frames: Frames, encode: Encode) -> None:
        self._frames: Iterator[Frame | Picture] | AsyncIterator[Frame | Picture]
        self._frames = aiter(frames) if isinstance(frames, AsyncIterable) else iter(frames)
        self._encode = encode
        self._reading: asyncio.Future[tuple[Frame, bytes] | None] | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[Frame, bytes]:
        if isinstance(self._frames, AsyncIterator):
            frame = as_frame(await anext(self._frames))
            if isinstance(frame.picture, bytes):
                return frame, frame.picture
            return frame, await asyncio.to_thread(self._encode, frame.picture)
        self._reading = asyncio.ensure_future(asyncio.to_thread(self._read, self._frames))
        read = await asyncio.shield(self._reading)
        if read is None:
            raise StopAsyncIteration
        return read

    async def aclose(self) -> None:
        if isinstance(self._frames, AsyncIterator):
            if hasattr(self._frames, "aclose"):
                await self._frames.aclose()
            return
        close = getattr(self._frames, "close", lambda: None)
        if isinstance(self._frames, Generator):
            # A generator cannot be closed while it runs.
            if await self._read_ended():
                await asyncio.to_thread(close)
        else:
            await asyncio.to_thread(close)
            await self._read_ended()

    async def _read_ended(self) -> bool:
        if self._reading is None:
            return True
        await asyncio.wait([self._reading], timeout=LEAVE_SECONDS)
        return self._reading.done()

    def _read(self, frames: Iterator[Frame | Picture]) -> tuple[Frame, bytes] | None:
        given = next(frames, None)
        if given is None:
            return None
        frame = as_frame(given)
        return frame, self._encode(frame.picture)


def as_frame(given: Frame | Picture) -> Frame:
    return given if isinstance(given, Frame) else Frame(given)
