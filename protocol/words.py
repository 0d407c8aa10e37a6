"""The words that fields may hold."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

Stage = Literal["wait", "decode", "queue", "step", "encode"]
"""The stages of a frame in the server, in their order: waiting to be decoded, decoding, waiting for
the engine, its step, and encoding the mask."""


class InputEncoding(StrEnum):
    """The encoding of a client's pictures. RGB24 is height * width * 3 bytes, row by row. The
    others are hints: the first bytes of each picture decide."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    RGB24 = "rgb24"


class MaskEncoding(StrEnum):
    """The encoding of masks. NONE: only the header, with the areas."""

    PNG = "png"
    RLE = "rle"
    RAW = "raw"
    NONE = "none"


class MaskSize(StrEnum):
    """The size of masks: that of each picture, or that of the model."""

    INPUT = "input"
    MODEL = "model"


class DropPolicy(StrEnum):
    """LATEST keeps the newest waiting frame; EVERY drops none and makes the client wait."""

    LATEST = "latest"
    EVERY = "every"


class MemoryState(StrEnum):
    """The state of a stream's memory when it opens.

    NEW: no session was to be resumed. INTACT: the session's memory is as it was. REBUILT: it was
    lost and is rebuilt from the frames before; masks equal those of an unbroken stream. COLD: it is
    empty.
    """

    NEW = "new"
    INTACT = "intact"
    REBUILT = "rebuilt"
    COLD = "cold"


class DropCause(StrEnum):
    """Why a frame gets no mask."""

    NEWER = "newer"
    STALE = "stale"
    CLIENT_SLOW = "client_slow"
    OVERLOAD = "overload"
    UNDECODABLE = "undecodable"
