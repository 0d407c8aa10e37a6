"""Messages that the server sends besides masks: drops, errors and the notice that it stops."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from protocol.fields import Text, Whole
from protocol.reading import Fields
from protocol.words import DropCause


class Dropped(Fields, frozen=True, tag="dropped", omit_defaults=True):
    """Frames that get no mask, and why. ``detail`` says what was wrong with an undecodable one."""

    seqs: tuple[Whole, ...]
    cause: DropCause
    detail: Text | None = None

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"seqs": list(self.seqs)}


class Failure(Fields, frozen=True, tag="error"):
    """The message ``error``: the fields of an RFC 9457 problem with ``seq`` and ``fatal``.

    ``type`` names the message, as in every text message; the problem's own type is
    ``urn:mastream:error:`` + ``code``. ``seq`` is the frame that this answers, None if it answers
    none. After a fatal error the socket is closed.
    """

    code: Text
    detail: Text = ""
    status: Annotated[int, Meta(ge=100, le=599)] = 500
    title: Text = ""
    seq: Whole | None = None
    fatal: bool = False

    def to_dict(self) -> dict[str, Any]:
        return super().to_dict() | {"title": self.title or self.code.replace("_", " ")}


class GoingAway(Fields, frozen=True, tag="going_away"):
    """The server will stop soon, or another server has the stream or more room; clients may
    reconnect after ``reconnect_after_ms``.

    ``taken`` is the ``seq`` of the last frame that the server read from a stream's socket, None if
    it read none or the socket only watches. ``url`` is the address of the socket to connect to,
    None if it is the same as before.
    """

    reconnect_after_ms: Whole = 0
    taken: Whole | None = None
    url: Text | None = None
