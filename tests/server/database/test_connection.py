"""A database that does not answer is distinguished from one that fails."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sqlite3
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sql
from postgres_server import Postgres
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn
from sqlalchemy.exc import OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from server.database.connection import Database, sqlite_url, translated
from server.database.watching import watch
from server.errors import Fault, Unavailable


class Enough(BaseException):
    """Ends the watch."""


def of_sqlite(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("told by SQLite")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (PoolTimeout("no connection is free"), Unavailable),
        (OperationalError("SELECT", None, Exception("connection refused")), Unavailable),
        (OperationalError("SELECT", None, of_sqlite(sqlite3.SQLITE_BUSY)), Unavailable),
        (OperationalError("SELECT", None, of_sqlite(sqlite3.SQLITE_FULL)), Fault),
        (ProgrammingError("SELECT", None, Exception("no such table")), Fault),
    ],
)
def test_what_may_pass_is_distinguished_from_what_does_not(
    raised: Exception, kind: type[Fault]
) -> None:
    with pytest.raises(Fault) as caught, translated():
        raise raised
    assert type(caught.value) is kind


def test_a_start_without_its_database_says_what_to_do() -> None:
    url = "postgresql+psycopg://mastream@127.0.0.1:1/mastream"
    with pytest.raises(Unavailable, match=r"at 127\.0\.0\.1 .*--profile postgres"):
        Database(url)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such options")
def test_a_connection_ends_if_the_network_loses_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int] = []

    def connect(*_: object, context: object, **given: Any) -> psycopg.Connection[Any]:
        del context
        begun = PGconn.connect_start(make_conninfo(**given).encode())
        with socket.socket(fileno=os.dup(begun.socket)) as open_one:
            options = socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE
            found.extend(open_one.getsockopt(socket.IPPROTO_TCP, one) for one in options)
        begun.finish()
        raise psycopg.OperationalError("told by a test")

    monkeypatch.setattr(psycopg, "connect", connect)
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(Unavailable):
        port = listener.getsockname()[1]
        Database(f"postgresql+psycopg://mastream@127.0.0.1:{port}/mastream")
    assert found == [10_000, 5]


def test_the_end_and_the_return_of_a_database_are_logged_once(
    postgres: Postgres, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(postgres.url)
    caplog.set_level(logging.INFO, "server.database.connection")
    postgres.stop()
    try:
        for _ in range(2):
            with pytest.raises(Unavailable):
                database.check()
            assert not database.answers
    finally:
        postgres.start()
    for _ in range(2):
        database.check()
        assert database.answers
    database.close()
    told = [record.getMessage().partition(":")[0] for record in caplog.records]
    assert told == ["the database does not answer", "the database answers again"]


def test_the_watch_notices_without_a_request_and_continues_whatever_fails(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = Database(sqlite_url(tmp_path / "rows.db"))
    seen: list[bool] = []

    def check() -> None:
        seen.append(database.answers)
        database.answers = len(seen) > 1
        if not database.answers:
            raise Unavailable("told by a test")
        raise RuntimeError("a bug") if len(seen) == 2 else Enough

    database.check = check  # type: ignore[method-assign]
    with pytest.raises(Enough):
        asyncio.run(watch(database, 0))
    assert seen == [True, False, True]
    logged = [record.getMessage() for record in caplog.records]
    assert logged == ["whether the database answers is unknown"]
    database.close()


def test_a_query_that_is_wrong_leaves_the_database_answering(tmp_path: Path) -> None:
    database = Database(sqlite_url(tmp_path / "rows.db"))
    with pytest.raises(Fault), database.begin() as connection:
        connection.execute(sql.text("SELECT nothing FROM nowhere"))
    assert database.answers
    database.close()
