"""Text messages: one JSON object each; its ``type`` names the message."""

from __future__ import annotations

from typing import Any, TypeVar, get_args

import msgspec

from protocol.errors import ProtocolError, bad_field, too_big
from protocol.framing import MAX_HEADER_BYTES
from protocol.opening import Open, Ready
from protocol.reading import REFUSALS, Fields, compact_json, named, parse_object
from protocol.results import Dropped, Failure, GoingAway

SUBPROTOCOL = "mastream.v1"


class Reset(Fields, frozen=True, tag="reset", forbid_unknown_fields=True):
    """Clear the memory before the next frame."""


class End(Fields, frozen=True, tag="end", forbid_unknown_fields=True):
    """From the client: no more frames. From the server: every frame has been answered."""


class Ping(Fields, frozen=True, tag="ping", forbid_unknown_fields=True):
    """Ask for a sign of life. Answered by Pong at once, ahead of masks."""


class Pong(Fields, frozen=True, tag="pong", forbid_unknown_fields=True):
    """The answer to Ping."""


ClientMessage = Open | Reset | End | Ping | Pong
ServerMessage = Ready | Dropped | Failure | GoingAway | Reset | End | Ping | Pong

_CLIENT_KINDS: tuple[type[ClientMessage], ...] = get_args(ClientMessage)
_SERVER_KINDS: tuple[type[ServerMessage], ...] = get_args(ServerMessage)
_CLIENT: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_SERVER: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)


def parse_client(text: str | bytes) -> ClientMessage:
    """Return the message that a client sent. Raises ProtocolError that says what is wrong."""
    try:
        return _CLIENT.decode(_checked(text))
    except REFUSALS:
        kind, fields = _taken_apart(text, _CLIENT_KINDS)
        return kind.from_dict(fields)


def parse_server(text: str | bytes) -> ServerMessage:
    """Return the message that a server sent. Raises ProtocolError that says what is wrong."""
    try:
        return _SERVER.decode(_checked(text))
    except REFUSALS:
        kind, fields = _taken_apart(text, _SERVER_KINDS)
        # A newer server's fields are ignored, also in the messages that clients send as well.
        known = kind.__struct_fields__
        return kind.from_dict({name: fields[name] for name in known if name in fields})


def serialise(message: ClientMessage | ServerMessage) -> str:
    """Return a message as text, the inverse of :func:`parse_client` and :func:`parse_server`."""
    return compact_json({"type": named(type(message)), **message.to_dict()})


Kind = TypeVar("Kind", bound=Fields)


def _checked(text: str | bytes) -> str | bytes:
    if len(text) > MAX_HEADER_BYTES:
        raise too_big(f"A text message of {len(text)} is over the limit of {MAX_HEADER_BYTES}.")
    return text


def _taken_apart(
    text: str | bytes, kinds: tuple[type[Kind], ...]
) -> tuple[type[Kind], dict[str, Any]]:
    fields = parse_object(text, "message")
    name = fields.pop("type", None)
    if not isinstance(name, str):
        raise ProtocolError("A text message needs a 'type'.")
    table = {named(kind): kind for kind in kinds}
    if name not in table:
        raise bad_field(f"Unknown message type {name[:40]!r}; known are {', '.join(table)}.")
    return table[name], fields
