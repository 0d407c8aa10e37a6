"""Text messages: one JSON object whose ``type`` says which."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

from protocol.errors import ProtocolError, bad_field, too_big
from protocol.fields import Fields
from protocol.framing import MAX_HEADER_BYTES, compact_json, parse_object
from protocol.opening import Open, Ready
from protocol.results import Dropped, Failure, GoingAway

SUBPROTOCOL = "mastream.v1"


@dataclass(frozen=True, slots=True)
class _Bare:
    """A message that is its type and nothing more."""

    type: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        Fields(given, cls.type).refuse_unknown()
        return cls()


@dataclass(frozen=True, slots=True)
class Reset(_Bare):
    """Forget all frames before the next one."""

    type: ClassVar[str] = "reset"


@dataclass(frozen=True, slots=True)
class End(_Bare):
    """From the client: no more frames. From the server: every frame has been answered."""

    type: ClassVar[str] = "end"


@dataclass(frozen=True, slots=True)
class Ping(_Bare):
    """Are you there? Answered by Pong at once, ahead of masks."""

    type: ClassVar[str] = "ping"


@dataclass(frozen=True, slots=True)
class Pong(_Bare):
    """I am."""

    type: ClassVar[str] = "pong"


ClientMessage = Open | Reset | End | Ping | Pong
ServerMessage = Ready | Dropped | Failure | GoingAway | Reset | End | Ping | Pong

_CLIENT: tuple[type[ClientMessage], ...] = (Open, Reset, End, Ping, Pong)
_SERVER: tuple[type[ServerMessage], ...] = (
    Ready,
    Dropped,
    Failure,
    GoingAway,
    Reset,
    End,
    Ping,
    Pong,
)


def parse_client(text: str | bytes) -> ClientMessage:
    """What a client sent. Raises ProtocolError that says what is wrong with it."""
    kind, fields = _kind(text, {one.type: one for one in _CLIENT})
    return kind.from_dict(fields)


def parse_server(text: str | bytes) -> ServerMessage:
    """What a server sent. Raises ProtocolError that says what is wrong with it."""
    kind, fields = _kind(text, {one.type: one for one in _SERVER})
    return kind.from_dict(fields)


def serialise(message: ClientMessage | ServerMessage) -> str:
    """The text of a message; :func:`parse_client` or :func:`parse_server` gives it back."""
    given = {"type": message.type, **message.to_dict()}
    return compact_json(given)


Kind = TypeVar("Kind")


def _kind(text: str | bytes, table: Mapping[str, Kind]) -> tuple[Kind, dict[str, Any]]:
    if len(text) > MAX_HEADER_BYTES:
        raise too_big(f"a text message of {len(text)} is over the limit of {MAX_HEADER_BYTES}")
    fields = parse_object(text, "message")
    name = fields.pop("type", None)
    if not isinstance(name, str):
        raise ProtocolError("a text message needs a 'type'")
    if name not in table:
        raise bad_field(f"unknown message type {name[:40]!r}; known are {', '.join(table)}")
    return table[name], fields
