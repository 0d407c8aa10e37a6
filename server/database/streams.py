"""The durable rows of pulled streams: their definitions, with passwords sealed, and their owners.

A stream belongs to the server in its row, under its epoch, until its lease expires by the
database's clock. Taking one is one conditional UPDATE that raises the epoch, and every later change
requires that epoch, so a server that was thought dead changes nothing, not even of another stream
that has got the name meanwhile.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from server.database.clock import seconds_now
from server.database.connection import Database
from server.database.schema import STREAMS
from server.database.sealed_addresses import ADDRESSES, SEALED, sealed, unsealed
from server.errors import Conflict
from server.security.sealing import Seal

_log = logging.getLogger(__name__)

_HELD = STREAMS.c.name, STREAMS.c.epoch, STREAMS.c.created
"""The columns of a HeldStream."""


class HeldStream(NamedTuple):
    """A stream under the epoch in which its server took it.

    Epochs start anew if a stream is removed and another one gets its name: that one was ``created``
    at another time.
    """

    name: str
    epoch: int
    created: float


@dataclass(frozen=True, slots=True)
class TakenStream:
    """A stream that was just taken, with its definition; ``cause`` is restart, given_back or
    expired. ``is_whole``: its password could be read, if it has one."""

    held: HeldStream
    definition: Mapping[str, Any]
    cause: str = ""
    is_whole: bool = True

    @property
    def name(self) -> str:
        return self.held.name


@dataclass(frozen=True, slots=True)
class StreamPlace:
    """The owner of a stream. ``server`` had it last, None if it was given back; ``lasts`` is for
    how many seconds its lease continues, negative if it has ended; ``key`` is the id of the API key
    that added the stream."""

    name: str
    server: str | None
    lasts: float
    key: str

    @property
    def is_free(self) -> bool:
        return self.server is None or self.lasts < 0


class StreamRows:
    """Definitions by name, as JSON objects. Synchronous; any thread may use it.

    A change replaces single fields, never addresses: a server whose secret does not open a
    password, or that does not know a field of a newer version, leaves both as they are.
    """

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database = database
        self._seal = seal

    def add(
        self, name: str, definition: Mapping[str, Any], created: float, server: str, lease: float
    ) -> HeldStream:
        """Store a new definition, held by ``server`` for ``lease`` seconds. Raises Conflict if the
        name is taken."""
        values = {
            "name": name,
            "definition": sealed(definition, self._seal),
            "created": created,
            "owner": server,
            "epoch": 1,
            "expires": seconds_now() + lease,
        }
        with self._database.begin() as connection:
            try:
                connection.execute(STREAMS.insert().values(**values))
            except IntegrityError as error:
                raise Conflict(f"There is already a stream {name}: choose another name.") from error
        return HeldStream(name, 1, created)

    def places(self) -> list[StreamPlace]:
        """Return the owners of all streams, the oldest stream first."""
        lasts = sql.func.coalesce(STREAMS.c.expires - seconds_now(), sql.literal(-1e9))
        # Every server reads this twice a second: the whole definition is not needed for it.
        key = sql.func.coalesce(STREAMS.c.definition["owner"].as_string(), "")
        columns = (STREAMS.c.name, STREAMS.c.owner, lasts.label("lasts"), key)
        chosen = sql.select(*columns).order_by(STREAMS.c.created, STREAMS.c.name)
        with self._database.begin() as connection:
            rows = connection.execute(chosen).all()
        return [StreamPlace(*row) for row in rows]

    def take(self, name: str, server: str, lease: float) -> TakenStream | None:
        """Take a free stream for ``lease`` seconds; return None if it is not free."""
        return self._take(_taken(server, lease).where(STREAMS.c.name == name, _is_free()))

    def take_back(self, name: str, server: str, lease: float) -> TakenStream | None:
        """Take a stream that an earlier process with this server's name had, at once."""
        left = STREAMS.c.owner == server
        return self._take(_taken(server, lease).where(STREAMS.c.name == name, left))

    def renew(self, held: Sequence[HeldStream], server: str, lease: float) -> set[HeldStream]:
        """Keep streams for ``lease`` more seconds; return those that were not lost."""
        is_held = sql.tuple_(*_HELD).in_(held)
        mine = sql.and_(STREAMS.c.owner == server, is_held)
        kept = STREAMS.update().where(mine).values(expires=seconds_now() + lease)
        with self._database.begin() as connection:
            rows = connection.execute(kept.returning(*_HELD)).all()
        return {HeldStream(*row) for row in rows}

    def still(self, held: Sequence[HeldStream], server: str) -> set[HeldStream]:
        """Return those streams that were not lost. Writes nothing."""
        mine = sql.select(*_HELD).where(STREAMS.c.owner == server)
        with self._database.begin() as connection:
            rows = connection.execute(mine).all()
        return {HeldStream(*row) for row in rows} & set(held)

    def release(self, held: HeldStream, fields: Mapping[str, Any] | None = None) -> bool:
        """Let any server take a stream, with these fields of its definition changed; return False
        if the stream was lost."""
        freed = _held(held).values(owner=None, expires=seconds_now())
        with self._database.begin() as connection:
            _change(connection, {held: fields} if fields else {})
            return connection.execute(freed).rowcount == 1

    def seal_all(self) -> None:
        """Seal the passwords of rows that older versions wrote, except of those that change
        meanwhile."""
        text = sql.cast(STREAMS.c.definition, sql.Text)
        chosen = sql.select(STREAMS.c.name, STREAMS.c.definition, text)
        with self._database.begin() as connection:
            for name, stored, read in connection.execute(chosen).all():
                if SEALED not in stored and (closed := sealed(stored, self._seal)) != stored:
                    same = STREAMS.update().where(STREAMS.c.name == name, text == read)
                    connection.execute(same.values(definition=closed))

    def change(self, held: HeldStream, fields: Mapping[str, Any]) -> bool:
        """Change fields of a definition; return False if the stream was lost."""
        return self.change_all({held: fields})

    def change_all(self, fields: Mapping[HeldStream, Mapping[str, Any]]) -> bool:
        """Change fields of definitions, in one transaction; return False if one of the streams was
        lost, which is skipped."""
        with self._database.begin() as connection:
            return _change(connection, fields) == len(fields)

    def remove(self, held: HeldStream) -> bool:
        """Remove a definition; return False if the stream was lost."""
        with self._database.begin() as connection:
            gone = STREAMS.delete().where(_is_held(held))
            return connection.execute(gone).rowcount == 1

    def _take(self, statement: sql.Update) -> TakenStream | None:
        columns = (*_HELD, STREAMS.c.definition)
        with self._database.begin() as connection:
            row = connection.execute(statement.returning(*columns)).first()
        if row is None:
            return None
        *held, definition = row
        definition, is_whole = unsealed(definition, self._seal)
        if not is_whole:
            _log.warning(
                "the password of stream %s was sealed with another secret: give all servers the"
                " same one, or add the stream again",
                row.name,
            )
        return TakenStream(HeldStream(*held), definition, is_whole=is_whole)


def _change(connection: sql.Connection, fields: Mapping[HeldStream, Mapping[str, Any]]) -> int:
    """Change fields of definitions; return how many of the streams were not lost."""
    if not fields:
        return 0
    is_held = sql.and_(sql.tuple_(*_HELD).in_(list(fields)), STREAMS.c.owner.is_not(None))
    # An UPDATE, because it locks the rows until they are changed, in SQLite too.
    locked = STREAMS.update().where(is_held).values(epoch=STREAMS.c.epoch)
    kept = connection.execute(locked.returning(*_HELD, STREAMS.c.definition)).all()
    for *key, definition in kept:
        held = HeldStream(*key)
        assert fields[held].keys().isdisjoint((*ADDRESSES, SEALED)), "these are sealed once"
        connection.execute(_held(held).values(definition={**definition, **fields[held]}))
    return len(kept)


def _taken(server: str, lease: float) -> sql.Update:
    return STREAMS.update().values(
        owner=server, epoch=STREAMS.c.epoch + 1, expires=seconds_now() + lease
    )


def _is_free() -> sql.ColumnElement[bool]:
    return sql.or_(STREAMS.c.owner.is_(None), STREAMS.c.expires < seconds_now())


def _is_held(held: HeldStream) -> sql.ColumnElement[bool]:
    return sql.and_(*(column == value for column, value in zip(_HELD, held, strict=True)))


def _held(held: HeldStream) -> sql.Update:
    return STREAMS.update().where(_is_held(held), STREAMS.c.owner.is_not(None))
