"""The content of a pulled stream's row: its definition, and the place of its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.database.streams import TakenStream
from server.streams.definition import StreamDefinition
from server.streams.place import Place, Takeover

PLACE = "place"
"""The field of the place; a version that does not know it ignores it."""


def stored(definition: StreamDefinition, place: Place | None) -> Mapping[str, Any]:
    """Return the content of a stream's row."""
    given = definition.to_dict()
    return given if place is None else given | {PLACE: place.to_dict()}


def takeover_of(taken: TakenStream) -> Takeover:
    """Return the takeover of a stream that this server took: its cause, and the place where a file
    is continued."""
    return Takeover(taken.cause, taken.held.epoch, Place.from_dict(taken.definition.get(PLACE)))
