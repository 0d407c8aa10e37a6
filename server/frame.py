"""What travels through the service: Frame in, Mask out. Both frozen."""

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
"""(height, width), one class index a pixel, C-contiguous."""

HOST = -1
"""The ordinal of no GPU: the host's own memory, where fakes keep what a device would."""


class HostCopies:
    """Counts pictures that were copied from a device to the host. One for the process."""

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
"""What ``mastream_host_copies_total`` tells."""


class DeviceBuffer(Protocol):
    """Memory on a device that lives as long as this object; an OrtValue is one."""

    def numpy(self) -> NDArray[Any]:
        """A copy on the host."""


@dataclass(frozen=True, slots=True, eq=False)
class DevicePixels:
    """A picture that is on a GPU: ``shape`` (height, width, 3), RGB uint8, C-contiguous.

    ``pointer`` is its address on the CUDA device of that ordinal (HOST: in the host's memory),
    good as long as ``owner`` lives; what wrote it is done, so any stream may read it. Where a
    host array is wanted, ``np.asarray`` copies it, and HOST_COPIES counts that.
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
            raise ValueError("a picture on a device is no host array without a copy")
        HOST_COPIES.add()
        return np.asarray(self.owner.numpy(), dtype=dtype).reshape(self.shape)


AnyPixels = Pixels | DevicePixels
"""A picture on the host or on a device: same shape, same bytes."""


def host_pixels(picture: AnyPixels) -> Pixels:
    """The picture as an array: itself or a view of it where it is in the host's memory, good as
    long as ``picture`` lives; else a copy, which is counted."""
    if isinstance(picture, DevicePixels) and picture.device == HOST:
        memory = (ctypes.c_uint8 * picture.nbytes).from_address(picture.pointer)
        return np.ctypeslib.as_array(memory).reshape(picture.shape)
    return np.asarray(picture, dtype=np.uint8)


class ResetCause(StrEnum):
    """Why a memory was emptied before a frame.

    The last five concern pulled sources: SOURCE is one that starts over, GAP a pause longer than
    the stream's ``max_gap``, CONNECTION a new connection, SIZE a new picture size or codec, CUT a
    scene cut.
    """

    NEW = "new"
    CLIENT = "client"
    ENGINE = "engine"
    SOURCE = "source"
    GAP = "gap"
    CONNECTION = "connection"
    SIZE = "size"
    CUT = "cut"


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture of one stream, at the model's size.

    ``size`` is the (height, width) of the picture it came from, as displayed. ``original`` is
    that picture itself, kept only where an overlay will be drawn on it. ``pts`` is the
    presentation time in seconds, exact; ``duration`` is how long its packet says that it is shown,
    None where it does not. ``arrived`` is time.monotonic() when the bytes came in,
    ``decode`` the seconds that decoding and scaling took, ``decoder`` what did it: "cpu",
    "nvdec", or "" where nothing had to be decoded. ``damaged`` pictures are partly guessed.
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

    @property
    def nbytes(self) -> int:
        """What it keeps alive, about."""
        return self.pixels.nbytes + (0 if self.original is None else self.original.nbytes)


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """One label a pixel of exactly one Frame, at the model's size.

    ``filled`` is how many frames the memory held when the frame was segmented (0 = none, the
    memory had no say); ``reset`` says why it had been emptied just before, or None. ``times`` are
    those up to its step.
    """

    labels: Labels
    frame: Frame
    filled: int = 0
    reset: ResetCause | None = None
    batch: int = 1
    times: StageTimes = field(default_factory=StageTimes)

    @property
    def nbytes(self) -> int:
        """What it keeps alive, about."""
        return self.labels.nbytes + self.frame.nbytes


@dataclass(frozen=True, slots=True)
class Dropped:
    """A frame that will get no mask, and why."""

    seq: int
    cause: DropCause


@dataclass(frozen=True, slots=True)
class Losses:
    """What could not be decoded of a video: ``undecodable`` packets, pictures that are ``damaged``
    and were shown all the same, and pictures that are ``missing`` though their packets are not."""

    undecodable: int = 0
    damaged: int = 0
    missing: int = 0

    def __bool__(self) -> bool:
        return bool(self.undecodable or self.damaged or self.missing)

    def most_of(self, frames: int) -> bool:
        """Whether less than half is whole of a video of which ``frames`` pictures were decoded."""
        return 2 * (frames - self.damaged) < frames + self.undecodable + self.missing


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a container says of its video stream.

    ``width`` and ``height`` are the picture's pixels, turned as displayed, and ``pixel_aspect`` is
    the width of one of them divided by its height. ``frames`` is the exact count, or None if it is
    unknown before decoding; ``rotation`` is the clockwise quarter-turn in degrees that was applied
    to reach the displayed picture; ``hdr`` "pq" or "hlg" if its range is high.
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
        """(height, width) in square pixels: players enlarge one side, and never shrink one."""
        if self.pixel_aspect < 1:
            return round(self.height / self.pixel_aspect), self.width
        return self.height, round(self.width * self.pixel_aspect)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON has them, fractions as text."""
        return {
            name: str(value) if isinstance(value, Fraction) else value
            for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> VideoInfo:
        """Return what :meth:`to_dict` was called on; missing fields have their defaults."""
        exact = {name: Fraction(values[name]) for name in _EXACT if name in values}
        return cls(**{**values, **exact})


_EXACT = ("rate", "time_base", "pixel_aspect")
"""The fields of VideoInfo that are fractions."""
