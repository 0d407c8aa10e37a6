"""What the row of a pulled stream has: its definition, and the place of its file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.database.streams import TakenStream
from server.streams.definition import StreamDefinition
from server.streams.place import Place, Takeover

PLACE = "place"
"""The field of the place; a version that does not know it passes it over."""


def stored(definition: StreamDefinition, place: Place | None) -> Mapping[str, Any]:
    """Return what the row has of a stream."""
    given = definition.to_dict()
    return given if place is None else given | {PLACE: place.to_dict()}


def takeover_of(taken: TakenStream) -> Takeover:
    """Return why this server has a stream that it took, and where a file is to be continued."""
    return Takeover(taken.cause, taken.held.epoch, Place.from_dict(taken.definition.get(PLACE)))
