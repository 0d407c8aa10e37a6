"""The result of one frame, as the client's users get it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clients.python.pictures import Frame
from protocol import MaskEncoding, MaskHeader, decode_mask, split_overlay


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """The result of one frame.

    ``labels`` is (header.height, header.width) uint8, None if masks are not requested or not
    decoded. ``overlay`` is a JPEG, empty unless requested. ``frame`` is the frame object that was
    sent. ``round_trip`` is in seconds, from sending to receiving.
    """

    header: MaskHeader
    labels: NDArray[np.uint8] | None
    overlay: bytes
    frame: Frame
    round_trip: float

    @property
    def seq(self) -> int:
        return self.header.seq


def unpack(
    header: MaskHeader, payload: bytes, decode: bool
) -> tuple[NDArray[np.uint8] | None, bytes]:
    """Return the labels of a message's mask, None unless they are to be decoded, and its overlay.

    Raises ProtocolError if the payload is not what the header says.
    """
    packed, overlay = split_overlay(header, payload)
    wanted = decode and header.encoding is not MaskEncoding.NONE
    size = header.width, header.height
    return decode_mask(packed, header.encoding, *size) if wanted else None, overlay
