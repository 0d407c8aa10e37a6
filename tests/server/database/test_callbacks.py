"""Rows of callbacks."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from own_rows import OwnRows

from server.database.callbacks import Callback, CallbackRows
from server.database.connection import sqlite_url
from server.database.video_record import VideoRecord, VideoState
from server.frame import VideoInfo

INFO = VideoInfo(64, 48, 10, 0.4, Fraction(25), Fraction(1, 1000))


@pytest.fixture(params=["sqlite", "postgresql"])
def videos(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnRows]:
    if request.param == "sqlite":
        rows = OwnRows(sqlite_url(tmp_path / "videos.db"))
    else:
        rows = OwnRows(request.getfixturevalue("postgres").url)
    yield rows
    for name in "ab":
        rows.cancel(name, 9.0)
        rows.remove(name)
    CallbackRows(rows.database).remove_orphans()
    rows.close()


def add(videos: OwnRows, name: str, url: str | None = "http://host/") -> None:
    videos.add(VideoRecord(name, "clip", "fake", 6, INFO, ("masks.mkv",), "f", 1.0), 9, url)


def end(videos: OwnRows, state: VideoState = VideoState.SUCCEEDED) -> None:
    found = videos.claim(2.0)
    assert found is not None
    videos.finish(found.id, state, 3.0, 10)


def test_a_callback_is_due_once_its_video_has_ended(videos: OwnRows) -> None:
    rows = CallbackRows(videos.database)
    add(videos, "a")
    assert rows.due(9.0, 9) == []
    videos.claim(2.0)
    assert rows.due(9.0, 9) == []
    videos.finish("a", VideoState.FAILED, 3.0, 10)
    assert rows.due(9.0, 9) == [Callback("a", "http://host/")]


def test_a_cancelled_video_has_ended_and_one_without_a_callback_calls_nobody(
    videos: OwnRows,
) -> None:
    rows = CallbackRows(videos.database)
    add(videos, "a")
    add(videos, "b", None)
    videos.cancel("a", 3.0)
    videos.cancel("b", 3.0)
    assert [one.video for one in rows.due(9.0, 9)] == ["a"]


def test_a_failed_attempt_is_counted_and_postponed(videos: OwnRows) -> None:
    rows = CallbackRows(videos.database)
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
    rows = CallbackRows(videos.database)
    add(videos, "a")
    end(videos)
    videos.remove("a")
    rows.remove_orphans()
    add(videos, "a", None)
    end(videos)
    assert rows.due(9.0, 9) == []
