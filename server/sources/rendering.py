"""Decoded pictures to a Frame's pixels: as displayed, at the model's size, where they are."""

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
from server.sources.picture import fit
from server.sources.surface import Surface

CPU = "cpu"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """``pixels`` at the model's size; ``size`` and, where it is kept, ``original`` as displayed;
    ``decoder`` is what decoded them."""

    pixels: AnyPixels
    size: tuple[int, int]
    original: Pixels | None
    decoder: str


class Renderer:
    """Renders one video's pictures. Its state: a scaler, and whether software was told of.

    With ``hardware`` what it decoded stays on its device; only an original is copied from
    there. What it could not decode comes from the CPU, which is logged once, or is refused
    where the hardware is required.
    """

    def __init__(
        self, height: int, width: int, *, keep_original: bool, hardware: Hardware | None
    ) -> None:
        self._height = height
        self._width = width
        self._keep_original = keep_original
        self._hardware = hardware
        self._reformatter = VideoReformatter()
        self._told = False

    def render(self, frame: VideoFrame) -> Rendered:
        """Raises UnsupportedMedia where hardware is required and software decoded this."""
        if self._hardware is None:
            return self._on_host(frame)
        surface = self._hardware.decoder.surface(frame)
        if surface is None:
            self._fall_back(self._hardware, frame)
            return self._on_host(frame)
        if hdr(frame):
            # The device's converter knows no transfer curves.
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
                f"The GPU does not decode this video's {what}; under MASTREAM_DECODE__DEVICE=auto "
                "the CPU does."
            )
        if not self._told:
            self._told = True
            _log.warning("a video is decoded on the CPU: the GPU does not take its %s", what)


def _layout(frame: VideoFrame) -> str:
    """The format of its planes, wherever they are."""
    return (frame.sw_format or frame.format).name


def orientation(frame: VideoFrame) -> Orientation:
    """Return how this picture is turned to be displayed."""
    # `frame.side_data` would keep the container in the frame, and that refers back to it: each
    # picture would stay in memory until the cyclic collector came by.
    side_data = cast(Mapping[SideDataType, Buffer], SideDataContainer(frame))  # type: ignore[call-arg]
    matrix = side_data.get(SideDataType.DISPLAYMATRIX)
    return UPRIGHT if matrix is None else Orientation.from_matrix(bytes(matrix))


def displayed(frame: VideoFrame, reformatter: VideoReformatter) -> Pixels:
    """Return the whole picture as RGB, turned as it is displayed."""
    return orientation(frame).apply(to_rgb(frame, reformatter))
