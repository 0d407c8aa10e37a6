"""What a stream begins with: the client's Open, the server's Ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from protocol.errors import bad_field
from protocol.fields import Fields
from protocol.headers import MAX_SIDE
from protocol.words import DropPolicy, InputEncoding, MaskEncoding, MaskSize, MemoryState


@dataclass(frozen=True, slots=True)
class Open:
    """What a client asks of its stream. Every field has a default.

    ``width`` and ``height`` are those of raw pictures, and only of raw ones. ``overlay`` asks for
    a JPEG of the mask over the picture beside each mask. A frame older than ``budget_ms`` is
    dropped, not segmented. ``resume`` is the token of a session to take up again.
    """

    type: ClassVar[str] = "open"

    input: InputEncoding = InputEncoding.JPEG
    width: int | None = None
    height: int | None = None
    output: MaskEncoding = MaskEncoding.PNG
    size: MaskSize = MaskSize.INPUT
    overlay: bool = False
    policy: DropPolicy = DropPolicy.LATEST
    budget_ms: float | None = None
    resume: str | None = None

    def to_dict(self) -> dict[str, Any]:
        given = asdict(self)
        return {key: value for key, value in given.items() if value is not None}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        fields = Fields(given, "open")
        message = cls(
            input=fields.word("input", InputEncoding) or InputEncoding.JPEG,
            width=fields.integer("width", 1, MAX_SIDE),
            height=fields.integer("height", 1, MAX_SIDE),
            output=fields.word("output", MaskEncoding) or MaskEncoding.PNG,
            size=fields.word("size", MaskSize) or MaskSize.INPUT,
            overlay=fields.flag("overlay"),
            policy=fields.word("policy", DropPolicy) or DropPolicy.LATEST,
            budget_ms=fields.number("budget_ms", 0.001, 1e9),
            resume=fields.text("resume"),
        )
        fields.refuse_unknown()
        _check_size(message)
        return message


@dataclass(frozen=True, slots=True)
class Limits:
    """What the server takes: bytes of one message, pixels of one picture (None: unsaid)."""

    max_message_bytes: int
    max_pixels: int | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """The server's answer to Open.

    ``model`` is the ModelSpec as a JSON object: name, classes [{name, colour}], height, width,
    memory_horizon and more. ``window`` is how many frames may be unanswered. ``resume`` is the
    token that takes this session up again, None where the server offers that not.
    """

    type: ClassVar[str] = "ready"

    session: str
    model: Mapping[str, Any]
    limits: Limits
    window: int
    resume: str | None = None
    memory: MemoryState = MemoryState.NEW

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(str(one["name"]) for one in self.model["classes"])

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """The RGB colour of each class."""
        return tuple(tuple(one["colour"]) for one in self.model["classes"])

    def to_dict(self) -> dict[str, Any]:
        return {
            "session": self.session,
            "model": dict(self.model),
            "limits": asdict(self.limits),
            "window": self.window,
            "resume": self.resume,
            "memory": str(self.memory),
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        fields = Fields(given, "ready")
        return cls(
            session=fields.need("session", fields.text("session")),
            model=_checked_model(fields),
            limits=_limits(fields.nested("limits")),
            window=fields.need("window", fields.integer("window", 1)),
            resume=fields.text("resume"),
            memory=fields.word("memory", MemoryState) or MemoryState.NEW,
        )


def _check_size(message: Open) -> None:
    sized = message.width is not None and message.height is not None
    if message.input is InputEncoding.RGB24 and not sized:
        raise bad_field("open: 'rgb24' needs 'width' and 'height'")
    if message.input is not InputEncoding.RGB24 and (message.width or message.height):
        raise bad_field("open: 'width' and 'height' go with 'rgb24' only; a picture knows its own")


def _limits(fields: Fields) -> Limits:
    most = fields.need("max_message_bytes", fields.integer("max_message_bytes", 1))
    return Limits(most, fields.integer("max_pixels", 1))


def _checked_model(fields: Fields) -> dict[str, Any]:
    """The model, with what :class:`Ready` reads of it made sure of."""
    model = fields.need("model", fields.mapping("model"))
    classes = model.get("classes")
    if not isinstance(classes, list) or not all(_is_class(one) for one in classes):
        raise bad_field("ready: 'model' has no classes with a name and an RGB colour")
    return model


def _is_class(given: object) -> bool:
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        return False
    colour = given.get("colour")
    return isinstance(colour, list) and len(colour) == 3 and all(map(_is_channel, colour))


def _is_channel(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 255
