"""Rendering decoded pictures to a Frame's pixels: as displayed, at the model's size, on the device
where they are."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
from av.buffer import Buffer
from av.sidedata.sidedata import SideDataContainer
from av.sidedata.sidedata import Type as SideDataType
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from server.errors import UnsupportedMedia
from server.frame import HOST_COPIES, AnyPixels, Pixels
from server.sources.colours import hdr, to_rgb
from server.sources.hardware import Hardware
from server.sources.orientation import UPRIGHT, Orientation
from server.sources.pictures.picture import fit
from server.sources.surface import Surface

CPU = "cpu"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """``pixels`` are at the model's size; ``size`` and ``original``, None unless it is kept, are
    those of the picture as displayed; ``decoder`` names its decoder."""

    pixels: AnyPixels
    size: tuple[int, int]
    original: Pixels | None
    decoder: str


class Renderer:
    """Renders one video's pictures.

    Pictures that ``hardware`` decoded stay on its device; only originals are copied from there.
    Those that it could not decode come from the CPU, which is logged once, or are refused if the
    hardware is required. Mutable state: a scaler, and whether decoding on the CPU was logged.
    """

    def __init__(
        self, height: int, width: int, *, keep_original: bool, hardware: Hardware | None
    ) -> None:
        self._height = height
        self._width = width
        self._keep_original = keep_original
        self._hardware = hardware
        self._reformatter = VideoReformatter()
        self._logged = False

    def render(self, frame: VideoFrame) -> Rendered:
        """Render a picture. Raises UnsupportedMedia if hardware is required and software decoded
        it."""
        if self._hardware is None:
            return self._on_host(frame)
        surface = self._hardware.decoder.surface(frame)
        if surface is None:
            self._fall_back(self._hardware, frame)
            return self._on_host(frame)
        if hdr(frame):
            # The device's converter does not support HDR's transfer curves.
            HOST_COPIES.add()
            return replace(self._on_host(frame), decoder=self._hardware.decoder.name)
        return self._on_device(self._hardware, surface, orientation(frame))

    def _on_host(self, frame: VideoFrame) -> Rendered:
        original = displayed(frame, self._reformatter)
        return Rendered(
            fit(original, self._height, self._width),
            (original.shape[0], original.shape[1]),
            original if self._keep_original else None,
            CPU,
        )

    def _on_device(self, hardware: Hardware, surface: Surface, turn: Orientation) -> Rendered:
        size = turn.size(surface.height, surface.width)
        convert = hardware.convert
        return Rendered(
            convert(surface, turn, self._height, self._width),
            size,
            np.asarray(convert(surface, turn, *size)) if self._keep_original else None,
            hardware.decoder.name,
        )

    def _fall_back(self, hardware: Hardware, frame: VideoFrame) -> None:
        what = f"{frame.width}x{frame.height} pictures in {_layout(frame)}"
        if hardware.required:
            raise UnsupportedMedia(
                f"The GPU does not decode this video's {what}; with MASTREAM_DECODE__DEVICE=auto "
                "the CPU does."
            )
        if not self._logged:
            self._logged = True
            _log.warning("a video is decoded on the CPU: the GPU does not decode its %s", what)


def _layout(frame: VideoFrame) -> str:
    """Return the pixel format, also of a picture on a device."""
    return (frame.sw_format or frame.format).name


def orientation(frame: VideoFrame) -> Orientation:
    """Return how this picture is rotated to be displayed."""
    # `frame.side_data` would store a container in the frame that refers back to it: each picture
    # would stay in memory until a cyclic garbage collection.
    side_data = cast(Mapping[SideDataType, Buffer], SideDataContainer(frame))  # type: ignore[call-arg]
    matrix = side_data.get(SideDataType.DISPLAYMATRIX)
    return UPRIGHT if matrix is None else Orientation.from_matrix(bytes(matrix))


def displayed(frame: VideoFrame, reformatter: VideoReformatter) -> Pixels:
    """Return the whole picture as RGB, rotated as it is displayed."""
    return orientation(frame).apply(to_rgb(frame, reformatter))
