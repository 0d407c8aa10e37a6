"""The values that pass through the service: Frame in, Mask out. Both are frozen."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from fractions import Fraction
from math import prod
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from protocol import DropCause, StageTimes

Pixels = NDArray[np.uint8]
"""(height, width, 3) RGB, C-contiguous."""

Labels = NDArray[np.uint8]
"""(height, width), one class index per pixel, C-contiguous."""

HOST = -1
"""The ordinal that stands for the host's memory, in which fakes keep the data of a GPU."""


class HostCopies:
    """Counts pictures that were copied from a device to the host; one object per process."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._count = 0

    @property
    def count(self) -> int:
        return self._count

    def add(self) -> None:
        with self._lock:
            self._count += 1


HOST_COPIES = HostCopies()
"""The value of ``mastream_host_copies_total``."""


class DeviceBuffer(Protocol):
    """Memory on a device that lives as long as this object; an OrtValue is one."""

    def numpy(self) -> NDArray[Any]:
        """Return a copy on the host."""


@dataclass(frozen=True, slots=True, eq=False)
class DevicePixels:
    """A picture on a GPU: ``shape`` (height, width, 3), RGB uint8, C-contiguous.

    ``pointer`` is its address on the CUDA device with the ordinal ``device`` (HOST: in the host's
    memory), valid as long as ``owner`` lives. Writing it has finished, so any CUDA stream may read
    it. ``np.asarray`` copies it to the host, and HOST_COPIES counts that.
    """

    shape: tuple[int, int, int]
    device: int
    pointer: int
    owner: DeviceBuffer

    @property
    def dtype(self) -> np.dtype[np.uint8]:
        return np.dtype(np.uint8)

    @property
    def nbytes(self) -> int:
        return prod(self.shape)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("A picture on a device cannot become a host array without a copy.")
        HOST_COPIES.add()
        return np.asarray(self.owner.numpy(), dtype=dtype).reshape(self.shape)


AnyPixels = Pixels | DevicePixels
"""A picture on the host or on a device: same shape, same bytes."""


def host_pixels(picture: AnyPixels) -> Pixels:
    """Return the picture as an array.

    If it is in the host's memory, that is the picture itself or a view of it, valid as long as
    ``picture`` lives; otherwise a copy, which HOST_COPIES counts.
    """
    if isinstance(picture, DevicePixels) and picture.device == HOST:
        memory = (ctypes.c_uint8 * picture.nbytes).from_address(picture.pointer)
        return np.ctypeslib.as_array(memory).reshape(picture.shape)
    return np.asarray(picture, dtype=np.uint8)


class ResetCause(StrEnum):
    """Why a memory was emptied before a frame.

    The last six concern pulled sources. MOVED: the source was taken over from another server, or
    from an earlier run of this one. SOURCE: it starts over. GAP: a pause longer than the stream's
    ``max_gap``. CONNECTION: a new connection. SIZE: a new picture size or codec. CUT: a scene cut.
    """

    NEW = "new"
    CLIENT = "client"
    ENGINE = "engine"
    MOVED = "moved"
    SOURCE = "source"
    GAP = "gap"
    CONNECTION = "connection"
    SIZE = "size"
    CUT = "cut"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of one stream, at the model's size.

    ``size`` is the (height, width) of the picture that it was scaled from, as displayed.
    ``original`` is that picture itself, kept only if an overlay will be drawn on it. ``pts`` is the
    exact presentation time in seconds; ``duration`` is how long the picture is shown according to
    its packet, None if that is unknown. ``arrived`` is time.monotonic() when the bytes came in and
    ``wall`` is time.time() then, None unless the picture was read from a container;
    ``camera_time`` is when it was taken by the camera's own wall clock, None if that is unknown.
    ``wait`` is the seconds until decoding began, ``decode`` the seconds that decoding and scaling
    took, ``decoder`` what did it: "cpu", "nvdec", or "" if nothing had to be decoded. Parts of
    ``damaged`` pictures are concealed. ``packet`` is what a client sent for it, kept only while its
    stream is recorded.
    """

    pixels: AnyPixels
    seq: int
    pts: Fraction | None = None
    size: tuple[int, int] = (0, 0)
    original: Pixels | None = None
    reset: bool = False
    replay: bool = False
    arrived: float = 0.0
    wait: float = 0.0
    decode: float = 0.0
    decoder: str = ""
    damaged: bool = False
    duration: Fraction | None = None
    wall: float | None = None
    camera_time: float | None = None
    packet: bytes | None = None

    @property
    def nbytes(self) -> int:
        """Return the approximate number of bytes that it keeps alive."""
        original = 0 if self.original is None else self.original.nbytes
        return self.pixels.nbytes + original + (0 if self.packet is None else len(self.packet))


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """One label per pixel for exactly one Frame, at the model's size.

    ``filled`` is how many frames the memory held when the frame was segmented (0: none, so the
    memory had no influence); ``reset`` is why it was emptied just before, or None. ``times`` are
    the stages up to its step; ``step`` is when that was submitted, began and ended, by
    time.monotonic().
    """

    labels: Labels
    frame: Frame
    filled: int = 0
    reset: ResetCause | None = None
    batch: int = 1
    times: StageTimes = field(default_factory=StageTimes)
    step: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @property
    def nbytes(self) -> int:
        """Return the approximate number of bytes that it keeps alive."""
        return self.labels.nbytes + self.frame.nbytes


@dataclass(frozen=True, slots=True)
class Dropped:
    """A frame that will get no mask, and why."""

    seq: int
    cause: DropCause


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses in decoding a video: ``undecodable`` packets, pictures that are ``damaged`` but
    have masks, and pictures that are ``missing`` although their packets are there."""

    undecodable: int = 0
    damaged: int = 0
    missing: int = 0

    def __bool__(self) -> bool:
        return bool(self.undecodable or self.damaged or self.missing)

    def most_of(self, frames: int) -> bool:
        """Return whether less than half of a video is intact, if ``frames`` pictures were
        decoded."""
        return 2 * (frames - self.damaged) < frames + self.undecodable + self.missing


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """A video stream as its container describes it.

    ``width`` and ``height`` are the picture's size in pixels after rotation, and ``pixel_aspect``
    is a pixel's width divided by its height. ``frames`` is the exact count, or None if it is
    unknown before decoding; ``rotation`` is the clockwise rotation in degrees, a multiple of 90,
    that was applied to get the displayed picture; ``hdr`` is "pq" or "hlg" if its dynamic range is
    high, otherwise None.
    """

    width: int
    height: int
    frames: int | None
    duration: float | None
    rate: Fraction
    time_base: Fraction
    rotation: int = 0
    codec: str = ""
    pixel_aspect: Fraction = Fraction(1)
    hdr: str | None = None

    @property
    def display_size(self) -> tuple[int, int]:
        """Return (height, width) in square pixels; one side is enlarged, as players do."""
        if self.pixel_aspect < 1:
            return round(self.height / self.pixel_aspect), self.width
        return self.height, round(self.width * self.pixel_aspect)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as a JSON object, with fractions as text."""
        return {
            name: str(value) if isinstance(value, Fraction) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> VideoInfo:
        """Return the object that :meth:`to_dict` described; missing fields have their defaults."""
        exact = {name: Fraction(values[name]) for name in EXACT if name in values}
        return cls(**{**values, **exact})


EXACT = ("rate", "time_base", "pixel_aspect")
"""The fields of VideoInfo that are fractions."""
