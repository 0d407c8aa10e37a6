"""The durable rows of pulled streams: their definitions, with their passwords sealed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy.exc import IntegrityError

from server.database.connection import Database
from server.database.schema import STREAMS
from server.database.sealed_addresses import SEALED, sealed, unsealed
from server.errors import Conflict
from server.security.sealing import Seal

_log = logging.getLogger(__name__)


class StreamRows:
    """Definitions by name, as JSON objects. Synchronous; any thread may use it."""

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database = database
        self._seal = seal

    def add(self, name: str, definition: Mapping[str, Any], created: float) -> None:
        """Store a new definition. Raises Conflict if the name is taken."""
        stored = sealed(definition, self._seal)
        values = {"name": name, "definition": stored, "created": created}
        with self._database.begin() as connection:
            try:
                connection.execute(STREAMS.insert().values(**values))
            except IntegrityError as error:
                raise Conflict(f"There is already a stream {name}: choose another name.") from error

    def all(self) -> list[dict[str, Any]]:
        """Return every definition, the oldest first; without passwords where they were sealed with
        another secret."""
        chosen = STREAMS.select().order_by(STREAMS.c.created, STREAMS.c.name)
        with self._database.begin() as connection:
            rows = connection.execute(chosen).mappings().all()
        return [self._unsealed(row["name"], row["definition"]) for row in rows]

    def seal_all(self) -> None:
        """Seal the passwords of rows that older versions wrote."""
        with self._database.begin() as connection:
            for row in connection.execute(STREAMS.select()).mappings().all():
                stored = row["definition"]
                if SEALED not in stored and (closed := sealed(stored, self._seal)) != stored:
                    changed = STREAMS.update().where(STREAMS.c.name == row["name"])
                    connection.execute(changed.values(definition=closed))

    def change(self, name: str, definition: Mapping[str, Any]) -> bool:
        """Replace a definition; return False if there is none with this name."""
        changed = STREAMS.update().where(STREAMS.c.name == name)
        values = {"definition": sealed(definition, self._seal)}
        with self._database.begin() as connection:
            return connection.execute(changed.values(**values)).rowcount == 1

    def remove(self, name: str) -> bool:
        """Remove a definition; return False if there is none with this name."""
        with self._database.begin() as connection:
            return connection.execute(STREAMS.delete().where(STREAMS.c.name == name)).rowcount == 1

    def _unsealed(self, name: str, stored: Mapping[str, Any]) -> dict[str, Any]:
        definition, is_whole = unsealed(stored, self._seal)
        if not is_whole:
            _log.warning(
                "the password of stream %s was sealed with another secret: add the stream again",
                name,
            )
        return definition
