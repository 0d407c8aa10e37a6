"""The durable rows of API keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sql

from server.database.connection import Database
from server.database.schema import KEYS
from server.security.keys import Key, Role


class KeyRows:
    """Keys by id. Synchronous; any thread may use it. Raises Fault if the database fails."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, key: Key) -> None:
        """Store a new key."""
        with self._database.begin() as connection:
            connection.execute(KEYS.insert().values(**_to_row(key)))

    def get(self, key_id: str) -> Key | None:
        """Return the key with this id, revoked or not; None if there is none."""
        with self._database.begin() as connection:
            row = connection.execute(KEYS.select().where(KEYS.c.id == key_id)).mappings().first()
        return None if row is None else _from_row(row)

    def all(self) -> list[Key]:
        """Return all keys, the oldest first."""
        with self._database.begin() as connection:
            chosen = KEYS.select().order_by(KEYS.c.created, KEYS.c.id)
            return [_from_row(row) for row in connection.execute(chosen).mappings()]

    def count_valid(self) -> int:
        """Return how many keys are not revoked."""
        counted = sql.select(sql.func.count()).where(KEYS.c.revoked.is_(None))
        with self._database.begin() as connection:
            return connection.scalar(counted) or 0

    def rotate(self, key: Key) -> bool:
        """Store the new digests of a key; return False if it was revoked meanwhile."""
        values = {"digests": list(key.digests), "overlap_ends": key.overlap_ends}
        return self._changed(key.id, values)

    def revoke(self, key_id: str, now: float) -> bool:
        """Mark a key as revoked; return False if it is already revoked, or unknown."""
        return self._changed(key_id, {"revoked": now})

    def _changed(self, key_id: str, values: Mapping[str, Any]) -> bool:
        valid = KEYS.update().where(KEYS.c.id == key_id, KEYS.c.revoked.is_(None))
        with self._database.begin() as connection:
            return connection.execute(valid.values(**values)).rowcount == 1


def _to_row(key: Key) -> dict[str, Any]:
    row = {column.name: getattr(key, column.name) for column in KEYS.c}
    return row | {"digests": list(key.digests), "streams": list(key.streams)}


def _from_row(row: Mapping[Any, Any]) -> Key:
    values = dict(row)
    values["role"] = Role(values["role"])
    values["digests"] = tuple(values["digests"])
    values["streams"] = tuple(values["streams"])
    return Key(**values)
