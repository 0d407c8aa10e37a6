"""The headers of binary messages: a frame on its way in, a mask on its way out."""

from __future__ import annotations

from typing import Self, get_args

import msgspec

from protocol.errors import ProtocolError
from protocol.fields import Number, Positive, Side, Text, Whole
from protocol.framing import Bytes, split
from protocol.reading import Fields, decode
from protocol.words import MaskEncoding, Stage


class FrameHeader(Fields, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The header of one picture from a client.

    ``seq`` rises from frame to frame; the server numbers a frame without one. ``pts`` is in
    seconds. ``reset`` clears the memory before this frame. A ``replay`` frame feeds the memory and
    gets no mask.
    """

    seq: Whole | None = None
    pts: Number | None = None
    reset: bool = False
    replay: bool = False


class MaskMemory(Fields, frozen=True):
    """``filled`` is how many frames the memory held; ``reset`` is why it was cleared just before,
    or None."""

    filled: Whole = 0
    reset: Text | None = None


class StageTimes(Fields, frozen=True):
    """Milliseconds that one frame spent in each Stage."""

    wait: Number = 0.0
    decode: Number = 0.0
    queue: Number = 0.0
    step: Number = 0.0
    encode: Number = 0.0

    @classmethod
    def of_seconds(cls, *seconds: float) -> Self:
        """Return the times of the first stages, given in seconds, rounded to a microsecond."""
        return cls(*(round(one * 1000, 3) for one in seconds))

    def encoded(self, seconds: float) -> Self:
        """Return these times with that of encoding the mask."""
        return msgspec.structs.replace(self, encode=round(seconds * 1000, 3))

    @property
    def total(self) -> float:
        return self.wait + self.decode + self.queue + self.step + self.encode


STAGES: tuple[Stage, ...] = get_args(Stage)
"""The names of the stages, in their order."""


class MaskHeader(Fields, frozen=True, kw_only=True):
    """The header of one mask from the server.

    ``areas`` is each class's share of the mask by name, 0..1. ``batch`` is how many streams
    shared the step. ``overlay`` is the length in bytes of the JPEG at the end of the payload, 0 if
    there is none.
    """

    seq: Whole
    pts: Number | None = None
    encoding: MaskEncoding
    width: Side
    height: Side
    memory: MaskMemory = MaskMemory()
    ms: StageTimes = StageTimes()
    batch: Positive = 1
    areas: dict[str, Number] = {}  # noqa: RUF012 - msgspec copies it
    overlay: Whole = 0


_FRAME = msgspec.json.Decoder(FrameHeader)
_MASK = msgspec.json.Decoder(MaskHeader)


def unpack_frame(data: Bytes, max_message_bytes: int) -> tuple[FrameHeader, bytes]:
    """Return the header and picture of a client's message. Raises ProtocolError."""
    text, payload = split(data, max_message_bytes)
    return decode(_FRAME, text, FrameHeader), payload


def unpack_mask(data: Bytes, max_message_bytes: int) -> tuple[MaskHeader, bytes]:
    """Return the header and the payload of a server's message. Raises ProtocolError."""
    text, payload = split(data, max_message_bytes)
    return decode(_MASK, text, MaskHeader), payload


def split_overlay(header: MaskHeader, payload: bytes) -> tuple[bytes, bytes]:
    """Return the mask's bytes and the overlay JPEG's (empty if there is none)."""
    cut = len(payload) - header.overlay
    if cut < 0:
        raise ProtocolError(f"A payload of {len(payload)} bytes cannot end in {header.overlay}.")
    return payload[:cut], payload[cut:]
