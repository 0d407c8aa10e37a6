"""Rows of callbacks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction

import pytest
import sqlalchemy as sql
from own_rows import SEAL, OwnRows

from server.database.callbacks import UNREADABLE_SECONDS, Callback, CallbackRows
from server.database.schema import CALLBACKS, VIDEOS
from server.database.video_record import VideoRecord, VideoState
from server.frame import VideoInfo
from server.security.sealing import Seal

INFO = VideoInfo(64, 48, 10, 0.4, Fraction(25), Fraction(1, 1000))


@pytest.fixture
def videos(database_url: str) -> Iterator[OwnRows]:
    with closing(OwnRows(database_url)) as rows:
        yield rows


def add(videos: OwnRows, name: str, url: str | None = "http://host/") -> None:
    videos.add(VideoRecord(name, "clip", "fake", 6, INFO, ("masks.mkv",), "f", 1.0), 9, url)


def end(videos: OwnRows, state: VideoState = VideoState.SUCCEEDED) -> None:
    oldest = videos.standings()[0].id
    videos.finish(videos.begun(oldest), state, 3.0, 10)


def test_a_callback_is_due_once_its_video_has_ended(videos: OwnRows) -> None:
    rows = CallbackRows(videos.database, SEAL)
    add(videos, "a")
    assert rows.due(9.0, 9) == []
    held = videos.begun("a")
    assert rows.due(9.0, 9) == []
    videos.finish(held, VideoState.FAILED, 3.0, 10)
    assert rows.due(9.0, 9) == [Callback("a", "http://host/")]


def test_a_cancelled_video_has_ended_and_one_without_a_callback_calls_nobody(
    videos: OwnRows,
) -> None:
    rows = CallbackRows(videos.database, SEAL)
    add(videos, "a")
    add(videos, "b", None)
    videos.cancel("a", 3.0)
    videos.cancel("b", 3.0)
    assert [one.video for one in rows.due(9.0, 9)] == ["a"]


def test_of_servers_that_find_a_callback_due_one_calls(videos: OwnRows) -> None:
    rows = CallbackRows(videos.database, SEAL)
    add(videos, "a")
    videos.cancel("a", 3.0)
    (due,) = rows.due(9.0, 9)
    assert [rows.take(due, 30.0), rows.take(due, 31.0)] == [True, False]
    assert rows.due(29.0, 9) == []
    (again,) = rows.due(30.0, 9)
    assert again.attempts == 0, "who began to call may have died"


def test_a_failed_attempt_is_counted_and_postponed(videos: OwnRows) -> None:
    rows = CallbackRows(videos.database, SEAL)
    for name in "ab":
        add(videos, name)
        end(videos)
    rows.postpone(Callback("a", "http://host/"), 20.0)
    assert [one.video for one in rows.due(19.0, 9)] == ["b"]
    assert rows.due(20.0, 9)[1] == Callback("a", "http://host/", 1, 20.0)
    assert len(rows.due(20.0, 1)) == 1
    rows.remove("a")
    assert [one.video for one in rows.due(20.0, 9)] == ["b"]


def test_a_removed_video_takes_its_callback_along(videos: OwnRows) -> None:
    rows = CallbackRows(videos.database, SEAL)
    add(videos, "a")
    end(videos)
    videos.remove("a")
    rows.remove_orphans()
    add(videos, "a", None)
    end(videos)
    assert rows.due(9.0, 9) == []


SECRET_URL = "https://hooks.example/s3cret?token=s3cret"


def stored(videos: OwnRows) -> str:
    with videos.database.begin() as connection:
        return str(connection.scalar(sql.select(CALLBACKS.c.url)))


def test_an_address_is_stored_sealed_however_long(videos: OwnRows) -> None:
    url = SECRET_URL + "x" * (2048 - len(SECRET_URL))
    add(videos, "a", url)
    end(videos)
    assert "s3cret" not in stored(videos) and "hooks" not in stored(videos)
    (found,) = CallbackRows(videos.database, SEAL).due(9.0, 9)
    assert found.url == url
    assert "s3cret" not in repr(found)


def test_an_address_that_an_older_version_stored_is_called_and_sealed(videos: OwnRows) -> None:
    rows = CallbackRows(videos.database, SEAL)
    add(videos, "a")
    end(videos)
    with videos.database.begin() as connection:
        connection.execute(CALLBACKS.update().values(url=SECRET_URL))
    assert rows.due(9.0, 9) == [Callback("a", SECRET_URL)]
    rows.seal_all()
    rows.seal_all()
    assert "s3cret" not in stored(videos)
    assert rows.due(9.0, 9) == [Callback("a", SECRET_URL)]


def test_without_the_secret_it_is_left_to_others_for_a_day(
    videos: OwnRows, caplog: pytest.LogCaptureFixture
) -> None:
    add(videos, "a", SECRET_URL)
    end(videos)
    rows = CallbackRows(videos.database, SEAL)
    other = CallbackRows(videos.database, Seal(lambda: b"b" * 64))
    assert other.due(9.0, 9) == [] and len(rows.due(9.0, 9)) == 1
    with videos.database.begin() as connection:
        ended = connection.scalar(sql.select(VIDEOS.c.ended))
    assert other.due(ended + UNREADABLE_SECONDS, 9) == [] and "given up" not in caplog.text
    assert other.due(ended + UNREADABLE_SECONDS + 1, 9) == [] and "given up" in caplog.text
    assert rows.due(9.0, 9) == []


def test_those_that_cannot_be_read_keep_none_of_the_others(videos: OwnRows) -> None:
    add(videos, "a", SECRET_URL)
    with videos.database.begin() as connection:
        other = Seal(lambda: b"b" * 64).close(SECRET_URL)
        connection.execute(CALLBACKS.update().values(url=other))
    add(videos, "b", SECRET_URL)
    end(videos)
    end(videos)
    assert [one.video for one in CallbackRows(videos.database, SEAL).due(9.0, 1)] == ["b"]
