"""Decoding video on a GPU: the contract of what does it. Real and fake ones are in nvdec."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

from av.codec.hwaccel import HWAccel
from av.video.frame import VideoFrame

from server.frame import DevicePixels
from server.sources.nvjpeg import DevicePictures
from server.sources.orientation import Orientation
from server.sources.surface import Surface

Convert = Callable[[Surface, Orientation, int, int], DevicePixels]
"""Takes a surface to a picture as displayed, of this height and width, on the same device."""


class HardwareDecoder(ABC):
    """What FFmpeg decodes with, and where its pictures are then."""

    name: str
    device: int

    @abstractmethod
    def acceleration(self) -> HWAccel | None:
        """What a container is to be opened with."""

    @abstractmethod
    def surface(self, frame: VideoFrame) -> Surface | None:
        """The picture on the device; None where FFmpeg decoded it in software after all."""


@dataclass(frozen=True, slots=True)
class Hardware:
    """One GPU for all streams; any thread may use it. ``required``: a video that it cannot decode
    is refused. ``pictures`` decodes pushed JPEGs, where it can."""

    decoder: HardwareDecoder
    convert: Convert
    required: bool = False
    pictures: DevicePictures | None = None
