"""Databases of every age are upgraded to the current tables, and newer ones are left alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
import sqlalchemy as sql
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from server.database.connection import Database
from server.database.schema import METADATA
from server.database.streams import HeldStream, StreamRows, TakenStream
from server.errors import Conflict, Fault
from server.security.sealing import Seal

OLD = """
CREATE TABLE mastream_schema (version INTEGER NOT NULL PRIMARY KEY);
INSERT INTO mastream_schema VALUES (1);
CREATE TABLE videos (
  id VARCHAR(64) NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL, model VARCHAR(255) NOT NULL,
  size BIGINT NOT NULL, info JSON NOT NULL, artefacts JSON NOT NULL,
  fingerprint VARCHAR(64) NOT NULL, created FLOAT NOT NULL, key VARCHAR(255) UNIQUE,
  state VARCHAR(16) NOT NULL, frames_done INTEGER NOT NULL, attempts INTEGER NOT NULL,
  problem JSON, started FLOAT, ended FLOAT);
CREATE INDEX ix_videos_state ON videos (state);
INSERT INTO videos VALUES ('a', 'n', 'm', 1, '{}', '[]', 'f', 1.0, NULL, 'queued', 0, 0,
  NULL, NULL, NULL)
"""
"""A database of the first version, before Alembic."""


@contextmanager
def connected(url: str) -> Iterator[sql.Connection]:
    engine = sql.create_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def execute(url: str, script: str) -> None:
    with connected(url) as connection:
        for statement in script.split(";"):
            connection.execute(sql.text(statement))


def version(connection: sql.Connection) -> tuple[object, object]:
    revision = connection.scalar(sql.text("SELECT version_num FROM alembic_version"))
    return revision, connection.scalar(sql.text("SELECT version FROM mastream_schema"))


def test_a_new_database_has_todays_tables(database_url: str) -> None:
    for _ in range(2):
        Database(database_url).close()
    with connected(database_url) as connection:
        assert version(connection) == ("0011", 3)
        context = MigrationContext.configure(connection)
        found = compare_metadata(context, METADATA)
        assert [one for one in found if "mastream_schema" not in str(one)] == []


@pytest.mark.parametrize("age", [1, 2])
def test_a_database_from_before_alembic_keeps_its_rows(database_url: str, age: int) -> None:
    execute(database_url, OLD)
    if age == 2:
        execute(
            database_url,
            "ALTER TABLE videos ADD COLUMN losses JSON;UPDATE mastream_schema SET version = 2",
        )
    Database(database_url).close()
    with connected(database_url) as connection:
        assert version(connection) == ("0011", 3)
        rows = connection.execute(sql.text("SELECT id, losses FROM videos"))
        assert [tuple(row) for row in rows] == [("a", None)]


def test_a_newer_database_is_refused_and_stays_as_it_is(database_url: str) -> None:
    Database(database_url).close()
    execute(database_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Fault, match="schema 9999, which this mastream does not know"):
        Database(database_url)
    with connected(database_url) as connection:
        assert version(connection) == ("9999", 3)


def test_a_marker_of_another_make_is_refused(database_url: str) -> None:
    execute(database_url, OLD)
    execute(database_url, "UPDATE mastream_schema SET version = 99")
    with pytest.raises(Fault, match="schema 99"):
        Database(database_url)


def test_definitions_are_added_changed_and_removed(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        rows = StreamRows(database, Seal(lambda: b"a" * 64))
        held = rows.add("b", {"name": "b", "n": 1}, 1.0, "me", 9.0)
        rows.add("a", {"name": "a"}, 2.0, "me", 9.0)
        with pytest.raises(Conflict, match="already a stream a"):
            rows.add("a", {}, 3.0, "me", 9.0)
        assert rows.change(held, {"name": "b", "n": 2})
        assert not rows.change(HeldStream("c", 1, 1.0), {})
        assert [one.name for one in rows.places()] == ["b", "a"]
        taken = rows.take_back("b", "me", 9.0)
        assert taken == TakenStream(HeldStream("b", 2, 1.0), {"name": "b", "n": 2})
        assert not rows.remove(held), "its epoch is over"
        held = HeldStream("b", 2, 1.0)
        assert rows.remove(held) and not rows.remove(held)
        assert [one.name for one in rows.places()] == ["a"]
