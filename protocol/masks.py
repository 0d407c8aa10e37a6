"""Masks as bytes, in each encoding.

Labels are (H, W) uint8, one class index per pixel.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from protocol import png, rle
from protocol.errors import ProtocolError
from protocol.words import MaskEncoding

Labels = NDArray[np.uint8]

MAX_PIXELS = 2**27
"""A mask larger than this is refused before it is decoded."""


def encode_mask(
    labels: Labels, encoding: MaskEncoding | str, palette: ArrayLike | None = None
) -> bytes:
    """Return the bytes of a mask. ``palette`` (N, 3) is used by "png" only; grey if absent.

    Raises ValueError if a label has no colour in the palette.
    """
    match MaskEncoding(encoding):
        case MaskEncoding.PNG:
            return png.encode(labels, palette)
        case MaskEncoding.RLE:
            return rle.encode(labels)
        case MaskEncoding.RAW:
            return labels.tobytes()
        case MaskEncoding.NONE:
            return b""


def decode_mask(data: bytes, encoding: MaskEncoding | str, width: int, height: int) -> Labels:
    """Return the labels (height, width) that :func:`encode_mask` was given.

    Raises ProtocolError if the bytes are not such a mask of this size; "none" has no labels and
    raises too.
    """
    if width < 1 or height < 1 or width * height > MAX_PIXELS:
        raise ProtocolError(f"A mask cannot be {width}x{height}.")
    match MaskEncoding(encoding):
        case MaskEncoding.PNG:
            return png.decode(data, width, height)
        case MaskEncoding.RLE:
            return rle.decode(data, width, height)
        case MaskEncoding.RAW:
            return _raw(data, width, height)
        case MaskEncoding.NONE:
            raise ProtocolError("A mask of encoding 'none' has no labels.")


def _raw(data: bytes, width: int, height: int) -> Labels:
    if len(data) != width * height:
        raise ProtocolError(f"{len(data)} bytes are not a raw mask of {width}x{height}.")
    return np.frombuffer(data, np.uint8).reshape(height, width).copy()
