"""The contract of a hardware decoder for video; nvdec has a real and a fake one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from av.codec.hwaccel import HWAccel
from av.video.frame import VideoFrame

from server.frame import DevicePixels
from server.sources.orientation import Orientation
from server.sources.pictures.nvjpeg import DevicePictures
from server.sources.surface import Surface

Convert = Callable[[Surface, Orientation, int, int], DevicePixels]
"""Converts a surface to a picture as displayed, of this height and width, on the same device."""


class HardwareDecoder(ABC):
    """The hardware that FFmpeg decodes with, and the device where its pictures are."""

    name: str
    device: int

    @abstractmethod
    def acceleration(self) -> HWAccel | None:
        """Return the acceleration with which a container must be opened."""

    @abstractmethod
    def surface(self, frame: VideoFrame) -> Surface | None:
        """Return the picture on the device; None if FFmpeg decoded it in software after all."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """One GPU for all streams; any thread may use it.

    If ``required``, videos that it cannot decode are refused. ``pictures`` decodes the pushed JPEGs
    that it can.
    """

    decoder: HardwareDecoder
    convert: Convert
    required: bool = False
    pictures: DevicePictures | None = None
