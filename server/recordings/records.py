"""The contents of a recording: one record per event of a session, in the order of its steps.

A :class:`Masked` record comes with its picture. Together with the resets these determine every mask
of the stream, so a replay needs nothing else; the other records describe what happened in between.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

Why = Literal["closed", "bytes", "seconds", "slow_disk", "stopped"]
"""Why a recording ended: the stream or somebody ended it, it reached a limit, the disk was too
slow, or the server stopped."""


PictureKind = Literal["packet", "rgb24", "png"]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Opening(_Record):
    """The first record: the stream, the model and the software that recorded it.

    ``stream`` is a pulled stream's name, empty for a pushed one. ``model`` is the ModelSpec and
    ``provider`` what ran it. ``began`` is the time of day in seconds.
    """

    kind: Literal["opening"] = "opening"
    version: str
    stream: str
    model: dict[str, Any]
    provider: str
    device: str
    policy: str
    budget_ms: float | None = None
    began: float


class Pictured(_Record):
    """A record whose payload is a frame's picture.

    ``picture`` says what that is: the ``packet`` that the client sent, one of ``rgb24`` pixels, or
    the pixels at the model's size as ``png``. ``size`` is the (height, width) of the picture before
    it was scaled; with ``whole`` it was decoded at that size, although a smaller one would have
    been enough.
    """

    seq: int
    picture: PictureKind
    size: tuple[int, int]
    whole: bool = False


class Masked(Pictured):
    """A frame that was segmented.

    ``reset`` is why the memory was emptied before it, if it was. A ``replay`` updated the memory
    without an answer. ``pixels`` and ``mask`` are SHA-256 in hexadecimal, of the (height, width, 3)
    RGB bytes that the engine got and the (height, width) labels that it returned. ``filled`` is how
    many frames the memory held, ``batch`` how many streams shared the step.
    """

    kind: Literal["mask"] = "mask"
    pts: str | None
    reset: str | None
    replay: bool
    pixels: str
    mask: str
    filled: int
    batch: int


class Failed(Pictured):
    """A frame whose picture was refused (``stage`` decode) or whose step failed.

    The memory stayed as it was; the next frame inherits ``reset``.
    """

    kind: Literal["failed"] = "failed"
    stage: Literal["decode", "step"]
    reset: str | None = None
    code: str
    detail: str


class Lost(_Record):
    """Frames that got no mask."""

    kind: Literal["dropped"] = "dropped"
    seqs: tuple[int, ...]
    cause: str


class Rebuilt(_Record):
    """A past frame was segmented again, because the engine and its memories had been lost.

    A replay skips it: the memory should be the same as if nothing had been lost.
    """

    kind: Literal["rebuilt"] = "rebuilt"
    seq: int


class Ending(_Record):
    """The last record of a recording that was ended properly."""

    kind: Literal["ending"] = "ending"
    why: Why


Record = Opening | Masked | Lost | Failed | Rebuilt | Ending

_ADAPTER: TypeAdapter[Record] = TypeAdapter(Annotated[Record, Field(discriminator="kind")])


def to_json(record: Record | Pictured) -> bytes:
    """Return the record as JSON."""
    return record.model_dump_json().encode()


def from_json(text: bytes) -> Record:
    """Read the result of :func:`to_json`; unknown fields are ignored. Raises ValueError."""
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        raise ValueError(f"not a record: {error.error_count()} fields are wrong") from error
