"""Packets: pictures as a client pushes them, and decoding them to Frames."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from server.frame import AnyPixels, Frame, Pixels
from server.sources.pictures.nvjpeg import DevicePictures
from server.sources.pictures.picture import (
    Picture,
    check_pixels,
    decode_read_picture,
    fit,
    raw_picture,
)
from server.sources.pictures.picture_header import PictureHeader, read_header

_DECODE_PIXEL_SECONDS = 4e-9
_DECODE_BYTE_SECONDS = 2e-9
_SCALE_PIXEL_SECONDS = 1.5e-9
"""Decoding time in seconds per pixel or encoded byte on one core; only the magnitude matters."""

_DEVICE_SECONDS = 1e-3
"""How long a decode may block on the device."""


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
    """Makes the Frames of one stream; (height, width) is the model's size.

    ``raw`` is the (height, width) of rgb24 pictures, None if pictures state their own size.
    ``keep_original`` keeps the whole picture in the Frame, for overlays, but not for replayed ones.
    ``device`` decodes the JPEGs that it can, and they stay there; it is not used if originals are
    kept, since those are needed on the host. ``keep_packet`` keeps the packet's bytes in the Frame,
    unless a device decoded it: another machine might decode it to other pixels.
    """

    height: int
    width: int
    limit_pixels: int
    raw: tuple[int, int] | None = None
    keep_original: bool = False
    device: DevicePictures | None = None
    keep_packet: bool = False

    def read(self, packet: Packet) -> ReadPacket:
        """Read the header of a packet's picture. Raises Undecodable if it has none."""
        if self.raw is None:
            return ReadPacket(self, packet, read_header(packet.data))
        return ReadPacket(self, packet, PictureHeader("rgb24", *self.raw))

    def decode(self, packet: Packet, clock: Callable[[], float] = time.monotonic) -> Frame:
        """Return the Frame of a packet. Raises Undecodable or TooLarge; may run in any thread."""
        return self.read(packet).decode(clock)


@dataclass(frozen=True, slots=True)
class ReadPacket:
    """A packet whose picture's header was read, so that the cost of decoding it is known."""

    decoder: PacketDecoder
    packet: Packet
    header: PictureHeader

    @property
    def pixels(self) -> int:
        """Return how many pixels the picture has."""
        return self.header.height * self.header.width

    @property
    def cost(self) -> float:
        """Return about how many seconds :meth:`decode` takes; 0.0 if it only makes a view."""
        decoder, header = self.decoder, self.header
        fits = (header.height, header.width) == (decoder.height, decoder.width)
        scaling = 0.0 if fits else decoder.height * decoder.width * _SCALE_PIXEL_SECONDS
        if decoder.raw is not None:
            return scaling
        device = _DEVICE_SECONDS if decoder.device else 0.0
        decoding = header.height * header.width * _DECODE_PIXEL_SECONDS
        return decoding + len(self.packet.data) * _DECODE_BYTE_SECONDS + device + scaling

    def decode(self, clock: Callable[[], float] = time.monotonic) -> Frame:
        """Return the packet's Frame. Raises Undecodable or TooLarge; may run in any thread."""
        began, packet = clock(), self.packet
        pixels, size, original, decoder = self._decode()
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
            packet=packet.data if self.decoder.keep_packet and decoder in ("", "cpu") else None,
        )

    def _decode(self) -> tuple[AnyPixels, tuple[int, int], Pixels | None, str]:
        """Return pixels at the model's size, the picture's own size, the picture itself if it is
        kept, and the name of what decoded it."""
        to, data = self.decoder, self.packet.data
        if to.device and to.raw is None and not to.keep_original:
            found = to.device.decode(data, self.header, to.height, to.width, to.limit_pixels)
            if found is not None:
                return *found, None, to.device.decoder.name
        is_kept = to.keep_original and not self.packet.replay
        picture = self._picture(None if is_kept else (to.height, to.width))
        pixels = fit(picture.pixels, to.height, to.width)
        kept = picture.pixels if is_kept else None
        return pixels, picture.size, kept, "cpu" if to.raw is None else ""

    def _picture(self, enough: tuple[int, int] | None) -> Picture:
        to, data = self.decoder, self.packet.data
        if to.raw is None:
            return decode_read_picture(data, self.header, to.limit_pixels, enough)
        check_pixels(*to.raw, to.limit_pixels)
        return Picture(raw_picture(data, *to.raw), to.raw)
