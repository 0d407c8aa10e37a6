"""What the server says besides masks: a loss, an error, a goodbye."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from protocol.fields import Fields
from protocol.words import DropCause


@dataclass(frozen=True, slots=True)
class Dropped:
    """Frames that get no mask, and why. ``detail`` says what was wrong with an undecodable one."""

    type: ClassVar[str] = "dropped"

    seqs: tuple[int, ...]
    cause: DropCause
    detail: str | None = None

    def to_dict(self) -> dict[str, Any]:
        told = {"seqs": list(self.seqs), "cause": str(self.cause), "detail": self.detail}
        return {key: value for key, value in told.items() if value is not None}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        fields = Fields(given, "dropped")
        return cls(
            fields.integers("seqs"),
            fields.need("cause", fields.word("cause", DropCause)),
            fields.text("detail"),
        )


@dataclass(frozen=True, slots=True)
class Failure:
    """The message ``error``: an RFC 9457 problem, laid flat, with ``seq`` and ``fatal``.

    ``type`` names the message, as in every text message; the problem's own type is
    ``urn:mastream:error:`` + ``code``. ``seq`` is the frame that this answers, None where it
    answers none. After a fatal one the socket is closed.
    """

    type: ClassVar[str] = "error"

    code: str
    detail: str
    status: int = 500
    title: str = ""
    seq: int | None = None
    fatal: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "title": self.title or self.code.replace("_", " "),
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "seq": self.seq,
            "fatal": self.fatal,
        }

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        fields = Fields(given, "error")
        return cls(
            code=fields.need("code", fields.text("code")),
            detail=fields.text("detail") or "",
            status=fields.integer("status", 100, 599) or 500,
            title=fields.text("title") or "",
            seq=fields.integer("seq"),
            fatal=fields.flag("fatal"),
        )


@dataclass(frozen=True, slots=True)
class GoingAway:
    """The server ends soon: come back after so many milliseconds."""

    type: ClassVar[str] = "going_away"

    reconnect_after_ms: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {"reconnect_after_ms": self.reconnect_after_ms}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        return cls(Fields(given, "going_away").integer("reconnect_after_ms") or 0)
