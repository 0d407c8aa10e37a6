"""The fields of a pulled stream's row that change while it runs, and what the next owner reads."""

from __future__ import annotations

from typing import Any

from server.database.streams import TakenStream
from server.streams.definition import StreamDefinition
from server.streams.place import Place, Takeover

PLACE = "place"
"""The field of the place; a version that does not know it ignores it."""


def placed(definition: StreamDefinition, place: Place | None) -> dict[str, Any]:
    """Return the fields that store the place of a file; none for a camera."""
    if not definition.is_file:
        return {}
    return {PLACE: None if place is None else place.to_dict()}


def takeover_of(taken: TakenStream) -> Takeover:
    """Return the takeover of a stream that this server took: its cause, and the place where a file
    is continued."""
    return Takeover(taken.cause, taken.held.epoch, Place.from_dict(taken.definition.get(PLACE)))
