"""Storing the places of playing files as they move, for the next owner."""

from __future__ import annotations

from collections.abc import Iterable

from server.database.streams import HeldStream
from server.streams.ownership import Ownership
from server.streams.place import Place
from server.streams.running_streams import RunningStream
from server.streams.stored import placed


class PlaceKeeper:
    """Mutable state: the places that were stored last."""

    def __init__(self, ownership: Ownership) -> None:
        self._ownership = ownership
        self._stored: dict[HeldStream, Place | None] = {}

    async def keep(self, running: Iterable[RunningStream]) -> None:
        """Store the places of the files, if they have moved."""
        streams = {one.held: one.stream for one in running}
        places = {held: stream.place for held, stream in streams.items()}
        changed = {
            held: placed(streams[held].definition, place)
            for held, place in places.items()
            if place is not None and place != self._stored.get(held)
        }
        await self._ownership.change_all(changed)
        self._stored = places
