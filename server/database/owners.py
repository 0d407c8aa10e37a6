"""The rows of the servers that share this database: each writes its own and reads all.

A row is valid until its lease expires by the database's clock. The epoch rises with every start, so
a process that was replaced cannot write the row of its successor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sql

from server.database.clock import seconds_now
from server.database.connection import Database
from server.database.schema import OWNERS

FORGET_SECONDS = 86400.0
"""A row that expired this many seconds ago is removed."""


@dataclass(frozen=True, slots=True)
class Presence:
    """A server's report: its address for clients, if it has one, the name of its machine, its
    model, how many sessions are open and how many more are possible, and the name of the folder
    whose videos it has (empty for older versions)."""

    url: str | None
    node: str
    model: str
    sessions: int
    room: int
    draining: bool = False
    videos: str = ""


@dataclass(frozen=True, slots=True)
class Owner:
    """A server as last stored; ``lasts`` is for how many seconds its lease continues."""

    name: str
    epoch: int
    presence: Presence
    lasts: float

    @property
    def is_alive(self) -> bool:
        return self.lasts > 0


class OwnerRows:
    """Rows of servers. Synchronous; any thread may use it. Raises Fault if the database fails."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def enter(self, name: str, presence: Presence, lease: float) -> int:
        """Store a starting server for ``lease`` seconds; return its epoch."""
        values = asdict(presence) | {"expires": seconds_now() + lease}
        mine = OWNERS.c.name == name
        again = OWNERS.update().where(mine).values(epoch=OWNERS.c.epoch + 1, **values)
        with self.database.begin() as connection:
            old = OWNERS.c.expires < seconds_now() - FORGET_SECONDS
            connection.execute(OWNERS.delete().where(old, OWNERS.c.name != name))
            epoch = connection.scalar(again.returning(OWNERS.c.epoch))
            if epoch is None:
                connection.execute(OWNERS.insert().values(name=name, epoch=1, **values))
            return epoch or 1

    def beat(self, name: str, epoch: int, presence: Presence, lease: float) -> bool:
        """Store a server's report and keep its row for ``lease`` more seconds.

        Return False if another process has started with this name.
        """
        values = asdict(presence) | {"expires": seconds_now() + lease}
        return self._changed(_of(name, epoch).values(**values))

    def is_current(self, name: str, epoch: int) -> bool:
        """Return whether no other process has started with this name. Writes nothing."""
        mine = sql.select(OWNERS.c.epoch).where(OWNERS.c.name == name)
        with self.database.begin() as connection:
            return connection.scalar(mine) == epoch

    def leave(self, name: str, epoch: int) -> bool:
        """Let a server's lease end now; return False if it was replaced."""
        return self._changed(_of(name, epoch).values(expires=seconds_now()))

    def all(self) -> list[Owner]:
        """Return every server by name, also those whose lease has ended."""
        chosen = sql.select(OWNERS, (OWNERS.c.expires - seconds_now()).label("lasts"))
        with self.database.begin() as connection:
            rows = connection.execute(chosen.order_by(OWNERS.c.name)).mappings().all()
        return [_from_row(row) for row in rows]

    def _changed(self, statement: sql.Update) -> bool:
        with self.database.begin() as connection:
            return connection.execute(statement).rowcount == 1


def _of(name: str, epoch: int) -> sql.Update:
    return OWNERS.update().where(OWNERS.c.name == name, OWNERS.c.epoch == epoch)


def _from_row(row: Mapping[Any, Any]) -> Owner:
    reported = {field: row[field] for field in Presence.__dataclass_fields__}
    return Owner(row["name"], row["epoch"], Presence(**reported), row["lasts"])
