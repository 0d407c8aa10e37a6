"""The first messages of a stream: the client's Open, the server's Ready."""

from __future__ import annotations

from typing import Annotated, Any, Self

import msgspec
from msgspec import Meta

from protocol.errors import bad_field
from protocol.fields import Positive, Side, Text, Whole
from protocol.reading import Fields, read
from protocol.words import DropPolicy, InputEncoding, MaskEncoding, MaskSize, MemoryState


class Open(Fields, frozen=True, tag="open", forbid_unknown_fields=True):
    """What a client requests for its stream. Every field has a default.

    ``width`` and ``height`` are the size of raw pictures, and are given only for these.
    ``overlay`` requests a JPEG of the picture with the mask drawn on it, with each mask;
    ``opacity`` is that of the drawn mask: 0.5 if absent, 0 for the picture alone. A frame older
    than ``budget_ms`` is dropped, not segmented. ``resume`` is the token of a session to resume.
    """

    input: InputEncoding = InputEncoding.JPEG
    width: Side | None = None
    height: Side | None = None
    output: MaskEncoding = MaskEncoding.PNG
    size: MaskSize = MaskSize.INPUT
    overlay: bool = False
    policy: DropPolicy = DropPolicy.LATEST
    budget_ms: Annotated[float, Meta(ge=0.001, le=1e9)] | None = None
    resume: Text | None = None
    opacity: Annotated[float, Meta(ge=0, le=1)] | None = None

    def __post_init__(self) -> None:
        raw = self.input is InputEncoding.RGB24
        if raw and (self.width is None or self.height is None):
            raise bad_field("open: 'rgb24' needs 'width' and 'height'.")
        if not raw and (self.width or self.height):
            words = "'width' and 'height' go with 'rgb24' only; a picture knows its own"
            raise bad_field(f"open: {words}.")

    def resuming(self, token: str | None) -> Self:
        """Return this with the token of the session to resume."""
        return msgspec.structs.replace(self, resume=token)

    def to_dict(self) -> dict[str, Any]:
        return {key: value for key, value in super().to_dict().items() if value is not None}


class Limits(Fields, frozen=True):
    """The server's limits: bytes per message, pixels per picture (None if not announced)."""

    max_message_bytes: Positive
    max_pixels: Positive | None = None


class ModelClass(Fields, frozen=True):
    """One class of a model: its name and its RGB colour. Its index is its place in the list."""

    name: str
    colour: tuple[Channel, Channel, Channel]


Channel = Annotated[int, Meta(ge=0, le=255)]


class Model(Fields, frozen=True):
    """The fields of a ModelSpec that clients use; a server sends more.

    ``memory_horizon`` is how many past frames a mask depends on, None if that is unbounded.
    """

    classes: tuple[ModelClass, ...]
    name: str | None = None
    height: Side | None = None
    width: Side | None = None
    memory_frames: Whole | None = None
    memory_horizon: Whole | None = None


class Ready(Fields, frozen=True, tag="ready"):
    """The server's answer to Open.

    ``model`` is the ModelSpec as a JSON object, see :class:`Model`. ``window`` is how many frames
    may be unanswered. ``resume`` is the token that resumes this session, None if the server does
    not offer that. ``memory`` is NEW unless ``open`` had a token.
    """

    session: Text
    model: dict[str, Any]
    limits: Limits
    window: Positive
    resume: Text | None = None
    memory: MemoryState = MemoryState.NEW

    def __post_init__(self) -> None:
        read(Model, self.model, "ready.model")

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(str(one["name"]) for one in self.model["classes"])

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """The RGB colour of each class."""
        return tuple(tuple(one["colour"]) for one in self.model["classes"])
