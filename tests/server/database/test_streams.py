"""Definitions in a database: none of its files contains their passwords."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from server.database import streams
from server.database.connection import Database, sqlite_url
from server.database.schema import STREAMS
from server.database.sealed_addresses import sealed
from server.database.streams import HeldStream, StreamRows
from server.security.sealing import Seal

SEAL = Seal(lambda: b"a" * 64)
CAMERA = {"name": "cam", "url": "rtsp://user:hidden@host/x", "publish": None}


OVER = -1.0
"""A lease that has ended already."""


def definition(rows: StreamRows, name: str = "cam") -> Mapping[str, Any]:
    """Take a free stream, so that it is free again at once, and return its definition."""
    taken = rows.take(name, "a", OVER)
    assert taken is not None
    return taken.definition


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(sqlite_url(tmp_path / "rows.db"))) as opened:
        yield opened


def files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("rows.db*"))


def test_a_password_is_in_no_file(database: Database, tmp_path: Path) -> None:
    rows = StreamRows(database, SEAL)
    held = rows.add("cam", CAMERA, 1.0, "a", OVER)
    assert definition(rows) == CAMERA
    assert not rows.change(held, {"paused": True}), "it was taken by another since"
    assert rows.change(HeldStream("cam", 2, 1.0), {"paused": True})
    assert definition(rows) == CAMERA | {"paused": True}
    assert b"rtsp://host/x" in files(tmp_path) and b"hidden" not in files(tmp_path)


def test_rows_from_before_are_sealed(database: Database) -> None:
    with database.begin() as connection:
        for name in ("cam", "other"):
            given = CAMERA | {"name": name}
            connection.execute(STREAMS.insert().values(name=name, definition=given, created=1.0))
    rows = StreamRows(database, SEAL)
    rows.seal_all()
    with database.begin() as connection:
        assert "hidden" not in str(connection.execute(STREAMS.select()).all())
    for name in ("cam", "other"):
        assert definition(rows, name)["url"] == CAMERA["url"]


def test_what_changes_while_it_is_sealed_keeps_the_change(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sealed_late(*given: Any) -> dict[str, Any]:
        assert rows.change(HeldStream("cam", 1, 1.0), {"paused": True})
        return sealed(*given)

    row = {"name": "cam", "definition": CAMERA, "created": 1.0, "owner": "a", "epoch": 1}
    with closing(Database(database_url)) as database:
        rows = StreamRows(database, SEAL)
        with database.begin() as connection:
            connection.execute(STREAMS.insert().values(**row))
        with monkeypatch.context() as patch:
            patch.setattr(streams, "sealed", sealed_late)
            rows.seal_all()
        with database.begin() as connection:
            assert connection.execute(STREAMS.select()).one().definition["paused"]
        rows.seal_all()
        with database.begin() as connection:
            assert "hidden" not in str(connection.execute(STREAMS.select()).all())
        taken = rows.take_back("cam", "a", OVER)
        assert taken and taken.definition == CAMERA | {"paused": True}


def test_another_secret_loses_the_password_and_nothing_else(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    StreamRows(database, SEAL).add("cam", CAMERA, 1.0, "a", OVER)
    with caplog.at_level(logging.WARNING):
        found = definition(StreamRows(database, Seal(lambda: b"b" * 64)))
    assert found == CAMERA | {"url": "rtsp://host/x"}
    assert "cam" in caplog.text
    assert definition(StreamRows(database, SEAL)) == CAMERA


def test_what_a_server_cannot_read_it_leaves_as_it_was(database_url: str) -> None:
    newer = CAMERA | {"name": "newer", "field": {"of": "a newer version"}}
    with closing(Database(database_url)) as database:
        rows = StreamRows(database, SEAL)
        rows.add("newer", newer, 1.0, "a", OVER)
        other = StreamRows(database, Seal(lambda: b"b" * 64))
        taken = other.take("newer", "b", 60.0)
        assert taken and not taken.is_whole
        assert other.change(taken.held, {"paused": True})
        assert other.change_all({taken.held: {"place": {"sent": 3}}})
        assert other.release(taken.held, {"place": None})
        back = rows.take("newer", "a", 60.0)
        assert back and back.is_whole
        assert back.definition == newer | {"paused": True, "place": None}


def test_where_all_streams_are_and_whose(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        rows = StreamRows(database, SEAL)
        rows.add("cam", CAMERA | {"owner": "key-1"}, 2.0, "a", 60.0)
        rows.add("old", CAMERA, 1.0, "b", OVER)
        held = rows.add("left", CAMERA | {"owner": ""}, 3.0, "a", 60.0)
        assert rows.release(held, {"owner": "key-2"})
        old, cam, left = rows.places()
        assert (old.name, old.server, old.is_free, old.key) == ("old", "b", True, "")
        assert (cam.name, cam.server, cam.is_free, cam.key) == ("cam", "a", False, "key-1")
        assert 0 < cam.lasts <= 60
        assert (left.server, left.is_free, left.key) == (None, True, "key-2")


def test_changes_of_many_pass_over_those_that_were_lost(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        rows = StreamRows(database, SEAL)
        one = rows.add("one", {"n": 1}, 1.0, "a", OVER)
        two = rows.add("two", {"n": 1}, 2.0, "a", 60.0)
        assert rows.still([one, two], "a") == {one, two}
        assert rows.take("one", "b", OVER) is not None
        assert rows.still([one, two], "a") == {two}
        assert not rows.change_all({one: {"n": 2}, two: {"n": 2}})
        assert rows.release(two)
        found = {name: definition(rows, name)["n"] for name in ("one", "two")}
        assert found == {"one": 1, "two": 2}
