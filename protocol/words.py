"""The words that fields may hold."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

Stage = Literal["wait", "decode", "queue", "step", "encode"]
"""The stages of a frame in the server, in their order: waiting to be decoded, decoding, waiting for
the engine, its step, and encoding the mask."""


class InputEncoding(StrEnum):
    """How a client sends its pictures. RGB24 is height * width * 3 bytes, row by row. The others
    are hints: each picture's own first bytes say what it is."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    RGB24 = "rgb24"


class MaskEncoding(StrEnum):
    """How masks come back. NONE: the header alone, with the areas."""

    PNG = "png"
    RLE = "rle"
    RAW = "raw"
    NONE = "none"


class MaskSize(StrEnum):
    """Masks of the size of each picture sent, or of the model's own size."""

    INPUT = "input"
    MODEL = "model"


class DropPolicy(StrEnum):
    """LATEST keeps the newest waiting frame; EVERY loses none and makes the client wait."""

    LATEST = "latest"
    EVERY = "every"


class MemoryState(StrEnum):
    """What a stream's memory is when it opens: new, or of the session taken up again."""

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
