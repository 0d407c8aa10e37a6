"""Answers: a Mask as the binary message that one client asked for."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2

import protocol
from models.spec import ModelSpec
from protocol import MaskEncoding, MaskSize
from server.frame import Labels, Mask, Pixels
from server.sinks.overlay import encode_jpeg, overlay, palette, resize_labels


class Answers:
    """Packs the masks of one stream as its ``open`` message asked. May run in any thread."""

    def __init__(self, spec: ModelSpec, wish: protocol.Open) -> None:
        self._names = [one.name for one in spec.classes]
        self._palette = palette(spec.classes)
        self._wish = wish

    def is_quick(self) -> bool:
        """Whether packing is a copy of the labels, cheaper than a change of thread."""
        plain = self._wish.output in (MaskEncoding.RAW, MaskEncoding.NONE)
        return plain and not self._wish.overlay and self._wish.size is MaskSize.MODEL

    def pack(self, mask: Mask, clock: Callable[[], float] = time.monotonic) -> bytes:
        """The message of one mask; its header says how long packing took."""
        began = clock()
        size = mask.frame.size if self._wish.size is MaskSize.INPUT else mask.labels.shape
        labels = resize_labels(mask.labels, *size)
        picture = self._overlay(mask, labels) if self._wish.overlay else b""
        payload = protocol.encode_mask(labels, self._wish.output, self._palette) + picture
        header = protocol.MaskHeader(
            seq=mask.frame.seq,
            encoding=self._wish.output,
            width=labels.shape[1],
            height=labels.shape[0],
            pts=None if mask.frame.pts is None else float(mask.frame.pts),
            memory=protocol.MaskMemory(mask.filled, mask.reset),
            ms=_milliseconds(mask, clock() - began),
            batch=mask.batch,
            areas=areas(mask.labels, self._names),
            overlay=len(picture),
        )
        return protocol.pack(header.to_dict(), payload)

    def _overlay(self, mask: Mask, labels: Labels) -> bytes:
        return encode_jpeg(overlay(self._picture(mask), labels, self._palette))

    def _picture(self, mask: Mask) -> Pixels:
        whole = mask.frame.original
        return mask.frame.pixels if whole is None or self._wish.size is MaskSize.MODEL else whole


def areas(labels: Labels, names: list[str]) -> dict[str, float]:
    """Each class's share of the picture, 0..1."""
    counts = cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel()
    shares = counts[: len(names)] / labels.size
    return {name: round(float(share), 6) for name, share in zip(names, shares, strict=True)}


def _milliseconds(mask: Mask, encode: float) -> protocol.StageTimes:
    timing = mask.timing
    seconds = (timing.wait, timing.decode, timing.queue, timing.step, encode)
    return protocol.StageTimes(*(round(value * 1000, 3) for value in seconds))
