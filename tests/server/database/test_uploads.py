"""Rows of uploads in parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
import sqlalchemy as sql
from own_rows import SEAL

from server.database.connection import Database
from server.database.schema import UPLOADS
from server.database.uploads import UploadRecord, UploadRows
from server.errors import Conflict, NoCapacity

REQUEST = {"name": "drive.mp4", "artefacts": ["masks.mkv"]}


@pytest.fixture
def rows(database_url: str) -> Iterator[UploadRows]:
    with closing(Database(database_url)) as database:
        yield UploadRows(database, SEAL)


def add(rows: UploadRows, name: str, length: int = 10, key: str | None = None) -> UploadRecord:
    record = UploadRecord(name, length, REQUEST, key, created=float(ord(name)))
    rows.add(record, max_unfinished=2, max_bytes=100)
    return record


def test_an_upload_is_stored_ended_and_removed(rows: UploadRows) -> None:
    record = add(rows, "a", key="k")
    assert rows.get("a") == rows.by_key("k") == record
    assert rows.unfinished() == [record]
    rows.end("a", 5.0, "video")
    assert rows.unfinished() == []
    ended = rows.get("a")
    assert ended is not None and (ended.ended, ended.video) == (5.0, "video")
    assert rows.remove("a") and not rows.remove("a")
    assert rows.get("a") is None and rows.by_key("k") is None


def test_a_problem_is_stored(rows: UploadRows) -> None:
    add(rows, "a")
    rows.end("a", 5.0, None, {"code": "bad_video"})
    ended = rows.get("a")
    assert ended is not None and ended.problem == {"code": "bad_video"}


def test_unfinished_uploads_are_bounded(rows: UploadRows) -> None:
    add(rows, "a", 60)
    with pytest.raises(NoCapacity, match="more than 100 bytes"):
        add(rows, "b", 41)
    add(rows, "b", 40)
    with pytest.raises(NoCapacity, match="2 uploads"):
        add(rows, "c", 0)
    rows.end("a", 5.0, "video")
    add(rows, "c", 60)


def test_a_key_is_used_once(rows: UploadRows) -> None:
    add(rows, "a", key="k")
    with pytest.raises(Conflict, match="came first"):
        add(rows, "b", key="k")


def test_ended_uploads_are_removed_after_a_while(rows: UploadRows) -> None:
    add(rows, "a")
    add(rows, "b")
    rows.end("a", 5.0, "video")
    rows.remove_ended(5.0)
    assert rows.get("a") is not None
    rows.remove_ended(5.1)
    assert rows.get("a") is None and rows.get("b") is not None


def stored(rows: UploadRows, name: str) -> str:
    with rows._database.begin() as connection:
        chosen = sql.select(UPLOADS.c.request).where(UPLOADS.c.id == name)
        return str(connection.scalar(chosen))


def test_the_address_of_a_callback_is_stored_sealed(rows: UploadRows) -> None:
    asked = {**REQUEST, "callback_url": "https://hooks.example/s3cret?token=s3cret"}
    rows.add(UploadRecord("a", 10, asked, None, created=1.0), max_unfinished=2, max_bytes=100)
    assert "s3cret" not in stored(rows, "a")
    found = rows.get("a")
    assert found is not None and found.request == asked
    assert [one.request for one in rows.unfinished()] == [asked]


def test_addresses_that_an_older_version_stored_are_sealed(rows: UploadRows) -> None:
    asked = {**REQUEST, "callback_url": "https://hooks.example/s3cret"}
    add(rows, "a")
    with rows._database.begin() as connection:
        connection.execute(UPLOADS.update().values(request=asked))
    rows.seal_all()
    rows.seal_all()
    assert "s3cret" not in stored(rows, "a")
    found = rows.get("a")
    assert found is not None and found.request == asked
