"""MaskPacker: turns a Mask into the binary message that one client requested."""

from __future__ import annotations

import time
from collections.abc import Callable

import protocol
from models.spec import ModelSpec
from protocol import MaskEncoding, MaskSize
from server.frame import Labels, Mask, Pixels, host_pixels
from server.sinks.areas import areas
from server.sinks.overlay import encode_jpeg, overlay, palette, resize_labels

_PIXEL_SECONDS = {
    MaskEncoding.PNG: 3.5e-9,
    MaskEncoding.RLE: 18e-9,
    MaskEncoding.RAW: 1e-9,
    MaskEncoding.NONE: 1e-9,
}
"""Seconds per pixel of each encoding on one core, including areas; only the magnitude matters."""

_OVERLAY_SECONDS = 12e-9


class MaskPacker:
    """Packs the masks of one stream as its ``open`` message requested. May run in any thread."""

    def __init__(self, spec: ModelSpec, wish: protocol.Open) -> None:
        self._names = [one.name for one in spec.classes]
        self._palette = palette(spec.classes)
        self._wish = wish

    def cost(self, mask: Mask) -> float:
        """Return approximately how many seconds :meth:`pack` takes."""
        height, width = self._size(mask)
        each = _PIXEL_SECONDS[self._wish.output] + (_OVERLAY_SECONDS if self._wish.overlay else 0)
        return height * width * each

    def pack(self, mask: Mask, clock: Callable[[], float] = time.monotonic) -> bytes:
        """Return the message of one mask; its header gives the time that packing took."""
        began = clock()
        labels = resize_labels(mask.labels, *self._size(mask))
        picture = self._overlay(mask, labels) if self._wish.overlay else b""
        payload = protocol.encode_mask(labels, self._wish.output, self._palette) + picture
        shares = areas(labels, self._names)
        header = protocol.MaskHeader(
            seq=mask.frame.seq,
            encoding=self._wish.output,
            width=labels.shape[1],
            height=labels.shape[0],
            pts=None if mask.frame.pts is None else float(mask.frame.pts),
            memory=protocol.MaskMemory(mask.filled, mask.reset),
            ms=mask.times.encoded(clock() - began),
            batch=mask.batch,
            areas=shares,
            overlay=len(picture),
        )
        return protocol.pack(header, payload)

    def _size(self, mask: Mask) -> tuple[int, int]:
        if self._wish.size is MaskSize.INPUT:
            return mask.frame.size
        return mask.labels.shape[0], mask.labels.shape[1]

    def _overlay(self, mask: Mask, labels: Labels) -> bytes:
        opacity = 0.5 if self._wish.opacity is None else self._wish.opacity
        return encode_jpeg(overlay(self._picture(mask), labels, self._palette, opacity))

    def _picture(self, mask: Mask) -> Pixels:
        whole = mask.frame.original
        if whole is None or self._wish.size is MaskSize.MODEL:
            return host_pixels(mask.frame.pixels)
        return whole
