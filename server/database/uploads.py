"""The durable rows of uploads that arrive in parts.

The bytes that have arrived are those in the upload's file; no row counts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sql
from sqlalchemy.exc import IntegrityError

from server.database.connection import Database
from server.database.schema import UPLOADS
from server.database.sealed_addresses import (
    is_sealed_callback,
    sealed_callback,
    unsealed_callback,
)
from server.errors import Conflict, NoCapacity
from server.security.sealing import Seal

CALLBACK = "callback_url"
"""The field of a request that is stored sealed."""


@dataclass(frozen=True, slots=True)
class UploadRecord:
    """One upload of ``length`` bytes as last stored.

    ``request`` describes the video that it will become, and ``key`` is its idempotency key.
    ``ended`` is when it became the video with the id ``video``, or was refused for ``problem``, an
    RFC 9457 object; None while it is unfinished. ``server`` is the name of the server that has the
    file.
    """

    id: str
    length: int
    request: Mapping[str, Any]
    key: str | None
    created: float
    ended: float | None = None
    video: str | None = None
    problem: Mapping[str, Any] | None = None
    server: str = ""


class UploadRows:
    """Rows of the uploads of one ``server``; any is found by its id or key.

    Synchronous; any thread may use it. Raises Fault if the database fails.
    """

    def __init__(self, database: Database, seal: Seal, server: str = "") -> None:
        self._database = database
        self._seal = seal
        self._server = server
        self._unfinished = sql.and_(UPLOADS.c.ended.is_(None), UPLOADS.c.server == server)

    def add(self, record: UploadRecord, max_unfinished: int, max_bytes: int) -> None:
        """Store a new upload on this server.

        Raises NoCapacity if there are already ``max_unfinished``, or if they would hold more than
        ``max_bytes`` together, and Conflict if its key is taken.
        """
        with self._database.begin() as connection:
            self._check_bounds(connection, record.length, max_unfinished, max_bytes)
            try:
                values = asdict(record) | {"server": self._server}
                values["request"] = self._sealed(record.request)
                connection.execute(UPLOADS.insert().values(**values))
            except IntegrityError as error:
                raise Conflict(
                    "Another upload with this Idempotency-Key came first: send it again."
                ) from error

    def adopt(self) -> None:
        """Take over the uploads of versions that did not store the server."""
        left = UPLOADS.update().where(UPLOADS.c.server == "")
        with self._database.begin() as connection:
            connection.execute(left.values(server=self._server))

    def seal_all(self) -> None:
        """Seal the addresses of callbacks in rows that older versions wrote."""
        with self._database.begin() as connection:
            for upload, request in connection.execute(sql.select(UPLOADS.c.id, UPLOADS.c.request)):
                url = request.get(CALLBACK)
                if url is not None and not is_sealed_callback(url):
                    changed = UPLOADS.update().where(UPLOADS.c.id == upload)
                    connection.execute(changed.values(request=self._sealed(request)))

    def get(self, upload: str) -> UploadRecord | None:
        return self._one(UPLOADS.c.id == upload)

    def by_key(self, key: str) -> UploadRecord | None:
        return self._one(UPLOADS.c.key == key)

    def unfinished(self) -> list[UploadRecord]:
        """Return this server's uploads that have not ended, the oldest first."""
        chosen = UPLOADS.select().where(self._unfinished).order_by(UPLOADS.c.created)
        with self._database.begin() as connection:
            return [self._from_row(row) for row in connection.execute(chosen).mappings()]

    def end(
        self, upload: str, now: float, video: str | None, problem: Mapping[str, Any] | None = None
    ) -> None:
        """Store the result of an upload: a video, or a problem."""
        ended = UPLOADS.update().where(UPLOADS.c.id == upload)
        with self._database.begin() as connection:
            connection.execute(ended.values(ended=now, video=video, problem=problem))

    def remove(self, upload: str) -> bool:
        """Remove an upload; return False if there is none with this id."""
        with self._database.begin() as connection:
            return connection.execute(UPLOADS.delete().where(UPLOADS.c.id == upload)).rowcount == 1

    def remove_ended(self, before: float) -> None:
        """Remove the uploads that ended before a time."""
        with self._database.begin() as connection:
            connection.execute(UPLOADS.delete().where(UPLOADS.c.ended < before))

    def _one(self, condition: sql.ColumnElement[bool]) -> UploadRecord | None:
        with self._database.begin() as connection:
            row = connection.execute(UPLOADS.select().where(condition)).mappings().first()
        return None if row is None else self._from_row(row)

    def _from_row(self, row: Mapping[Any, Any]) -> UploadRecord:
        request = dict(row["request"])
        if request.get(CALLBACK) is not None:
            request[CALLBACK] = unsealed_callback(request[CALLBACK], self._seal)
        return UploadRecord(**dict(row) | {"request": request})

    def _sealed(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if request.get(CALLBACK) is None:
            return dict(request)
        return {**request, CALLBACK: sealed_callback(request[CALLBACK], self._seal)}

    def _check_bounds(
        self, connection: sql.Connection, length: int, max_unfinished: int, max_bytes: int
    ) -> None:
        totals = sql.select(sql.func.count(), sql.func.coalesce(sql.func.sum(UPLOADS.c.length), 0))
        count, held = connection.execute(totals.where(self._unfinished)).one()
        if count >= max_unfinished:
            raise NoCapacity(f"{max_unfinished} uploads are unfinished already: try again later.")
        if held + length > max_bytes:
            raise NoCapacity(
                f"The unfinished uploads would hold more than {max_bytes} bytes: try again later."
            )
