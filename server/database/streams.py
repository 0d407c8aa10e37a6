"""The durable rows of pulled streams: their definitions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import IntegrityError

from server.database.connection import Database
from server.database.schema import STREAMS
from server.errors import Conflict


class StreamRows:
    """Definitions by name, as JSON objects. Synchronous; any thread may use it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, name: str, definition: Mapping[str, Any], created: float) -> None:
        """Store a new definition. Raises Conflict if the name is taken."""
        values = {"name": name, "definition": dict(definition), "created": created}
        with self._database.begin() as connection:
            try:
                connection.execute(STREAMS.insert().values(**values))
            except IntegrityError as error:
                raise Conflict(f"There is already a stream {name}: choose another name.") from error

    def all(self) -> list[dict[str, Any]]:
        """Return every definition, the oldest first."""
        chosen = STREAMS.select().order_by(STREAMS.c.created, STREAMS.c.name)
        with self._database.begin() as connection:
            return [dict(row["definition"]) for row in connection.execute(chosen).mappings()]

    def change(self, name: str, definition: Mapping[str, Any]) -> bool:
        """Replace a definition; return False if there is none with this name."""
        changed = STREAMS.update().where(STREAMS.c.name == name)
        with self._database.begin() as connection:
            return connection.execute(changed.values(definition=dict(definition))).rowcount == 1

    def remove(self, name: str) -> bool:
        """Remove a definition; return False if there is none with this name."""
        with self._database.begin() as connection:
            return connection.execute(STREAMS.delete().where(STREAMS.c.name == name)).rowcount == 1
