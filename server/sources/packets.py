"""Packets: pictures as a client pushes them, and the Frames they become."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from server.frame import AnyPixels, Frame, Pixels
from server.sources.nvjpeg import DevicePictures
from server.sources.picture import check_pixels, decode_picture, fit, picture_size, raw_picture

_DECODE_PIXEL_SECONDS = 4e-9
_DECODE_BYTE_SECONDS = 2e-9
_SCALE_PIXEL_SECONDS = 1.5e-9
"""What a pixel or an encoded byte takes on one core; only the order of size matters."""

_DEVICE_SECONDS = 1e-3
"""For which a thread may wait for a device."""


@dataclass(frozen=True, slots=True, eq=False)
class Packet:
    """One picture, still encoded. ``arrived`` is time.monotonic() when its bytes came in."""

    data: bytes
    seq: int
    arrived: float
    pts: float | None = None
    reset: bool = False
    replay: bool = False


@dataclass(frozen=True, slots=True)
class PacketDecoder:
    """Makes the Frames of one stream: (height, width) is the model's size.

    ``raw`` is the (height, width) of rgb24 pictures, None where pictures say their own size.
    ``keep_original`` keeps the whole picture in the Frame, for overlays; a replayed one gets
    none. ``device`` decodes the
    JPEGs that it can, which stay there; an original is wanted on the host, so then it is left out.
    """

    height: int
    width: int
    limit_pixels: int
    raw: tuple[int, int] | None = None
    keep_original: bool = False
    device: DevicePictures | None = None

    def cost(self, packet: Packet) -> float:
        """About how many seconds :meth:`decode` takes; 0.0 where it is a view of the bytes.

        Raises Undecodable where the picture has no header.
        """
        if self.raw is not None:
            height, width = self.raw
            decoding = 0.0
        else:
            _, height, width = picture_size(packet.data)
            decoding = (
                height * width * _DECODE_PIXEL_SECONDS + len(packet.data) * _DECODE_BYTE_SECONDS
            )
        if self.device and self.raw is None:
            decoding += _DEVICE_SECONDS
        fits = (height, width) == (self.height, self.width)
        return decoding + (0.0 if fits else self.height * self.width * _SCALE_PIXEL_SECONDS)

    def decode(self, packet: Packet, clock: Callable[[], float] = time.monotonic) -> Frame:
        """The Frame of a packet. Raises Undecodable or TooLarge; may run in any thread."""
        began = clock()
        pixels, size, original, decoder = self._decode(packet)
        return Frame(
            pixels=pixels,
            seq=packet.seq,
            pts=None if packet.pts is None else Fraction(packet.pts),
            size=size,
            original=original,
            reset=packet.reset,
            replay=packet.replay,
            arrived=packet.arrived,
            wait=began - packet.arrived,
            decode=clock() - began,
            decoder=decoder,
        )

    def _decode(self, packet: Packet) -> tuple[AnyPixels, tuple[int, int], Pixels | None, str]:
        """Pixels at the model's size, the picture's own size, itself if kept, who decoded."""
        data = packet.data
        if self.device and self.raw is None and not self.keep_original:
            found = self.device.decode(data, self.height, self.width, self.limit_pixels)
            if found is not None:
                return *found, None, self.device.decoder.name
        picture = self._picture(data)
        pixels = fit(picture, self.height, self.width)
        size = (picture.shape[0], picture.shape[1])
        kept = picture if self.keep_original and not packet.replay else None
        return pixels, size, kept, "cpu" if self.raw is None else ""

    def _picture(self, data: bytes) -> Pixels:
        if self.raw is None:
            return decode_picture(data, self.limit_pixels)
        check_pixels(*self.raw, self.limit_pixels)
        return raw_picture(data, *self.raw)
