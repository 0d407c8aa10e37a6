"""Rows and files of videos, in step."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest

from server.errors import NoCapacity
from server.frame import VideoInfo
from server.records import VideoRecord, VideoState, new_id
from server.settings import VideoSettings
from server.shelf import MAX_ATTEMPTS, Shelf
from server.store import Store, sqlite_url

INFO = VideoInfo(64, 48, 10, 0.4, Fraction(25), Fraction(1, 1000))


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[Shelf]:
    store = Store(sqlite_url(tmp_path / "videos.db"))
    shelf = Shelf(store, tmp_path / "videos", VideoSettings(min_free_bytes=0, max_jobs=2))
    shelf.recover(0.0)
    yield shelf
    store.close()


def uploaded(shelf: Shelf, key: str | None = None) -> str:
    video = new_id(1.0)
    shelf.place(video).write_bytes(b"upload")
    shelf.add(VideoRecord(video, "clip", "fake", 6, INFO, ("masks.mkv",), "f", 1.0, key))
    return video


def begun(shelf: Shelf) -> str:
    video = uploaded(shelf)
    assert shelf.store.claim(2.0) is not None
    shelf.results(video).mkdir()
    (shelf.results(video) / "masks.mkv").write_bytes(b"half")
    return video


def files(shelf: Shelf, video: str) -> set[str]:
    folder = shelf.upload(video).parent
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_video_that_succeeded_keeps_its_results_alone(shelf: Shelf) -> None:
    video = begun(shelf)
    shelf.end(video, VideoState.SUCCEEDED, 3.0, 10)
    assert files(shelf, video) == {"results/masks.mkv"}


def test_a_video_that_failed_keeps_nothing(shelf: Shelf) -> None:
    video = begun(shelf)
    shelf.end(video, VideoState.FAILED, 3.0, 10, {"code": "fault"})
    assert not shelf.upload(video).parent.exists()


def test_a_video_put_back_keeps_its_upload_alone(shelf: Shelf) -> None:
    video = begun(shelf)
    shelf.put_back(video)
    assert files(shelf, video) == {"upload"}


def test_nothing_is_touched_where_the_state_says_no(shelf: Shelf) -> None:
    video = begun(shelf)
    shelf.remove(video)
    assert files(shelf, video) == {"upload", "results/masks.mkv"}
    shelf.store.cancel(video, 3.0)
    shelf.end(video, VideoState.SUCCEEDED, 4.0, 10)
    shelf.put_back(video)
    assert files(shelf, video) == {"upload", "results/masks.mkv"}
    shelf.clear(video)
    assert files(shelf, video) == set()


def test_a_place_that_was_not_taken_is_removed(shelf: Shelf) -> None:
    left, taken = new_id(1.0), uploaded(shelf)
    shelf.place(left).write_bytes(b"half")
    for video in (left, taken):
        shelf.discard_unless_added(video)
    assert not shelf.upload(left).parent.exists()
    assert files(shelf, taken) == {"upload"}


def test_a_start_tidies_what_a_dead_process_left(shelf: Shelf) -> None:
    video = begun(shelf)
    orphan = new_id(1.0)
    shelf.place(orphan).write_bytes(b"half")
    assert shelf.recover(3.0) == 1
    assert files(shelf, video) == {"upload"}
    assert not shelf.upload(orphan).parent.exists()


def test_a_start_with_another_database_removes_no_results(tmp_path: Path, shelf: Shelf) -> None:
    done = begun(shelf)
    shelf.end(done, VideoState.SUCCEEDED, 3.0, 10)
    store = Store(sqlite_url(tmp_path / "other.db"))
    other = Shelf(store, tmp_path / "videos", VideoSettings(min_free_bytes=0))
    assert other.recover(4.0) == 0
    uploaded(other)
    assert other.recover(5.0) == 1
    store.close()
    assert files(shelf, done) == {"results/masks.mkv"}


def test_an_empty_database_removes_nothing(tmp_path: Path, shelf: Shelf) -> None:
    waiting = uploaded(shelf)
    store = Store(sqlite_url(tmp_path / "other.db"))
    Shelf(store, tmp_path / "videos", VideoSettings(min_free_bytes=0)).recover(4.0)
    store.close()
    assert files(shelf, waiting) == {"upload"}


def test_a_video_that_kills_the_server_is_given_up(shelf: Shelf) -> None:
    video = uploaded(shelf)
    for _ in range(MAX_ATTEMPTS):
        assert shelf.store.claim(2.0) is not None
        shelf.recover(3.0)
    record = shelf.store.get(video)
    assert record is not None
    assert record.state is VideoState.FAILED
    assert record.problem is not None
    assert "died" in record.problem["detail"]
    assert not shelf.upload(video).parent.exists()


def test_a_full_queue_takes_no_upload_but_one_it_knows(shelf: Shelf) -> None:
    shelf.welcome(10, None)
    uploaded(shelf, key="known")
    uploaded(shelf)
    shelf.welcome(10, "known")
    for key in (None, "other"):
        with pytest.raises(NoCapacity, match="queued"):
            shelf.welcome(10, key)


def test_a_disk_nearly_full_takes_no_upload(tmp_path: Path, shelf: Shelf) -> None:
    wary = Shelf(shelf.store, tmp_path, VideoSettings(min_free_bytes=2**62))
    with pytest.raises(NoCapacity, match="disk"):
        wary.welcome(0, None)
    with pytest.raises(NoCapacity, match="disk"):
        shelf.welcome(2**62, None)


def test_a_file_that_cannot_be_removed_waits_for_the_next_start(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = begun(shelf)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        shelf.end(video, VideoState.SUCCEEDED, 3.0, 10)
        shelf.recover(4.0)
    assert "upload" in files(shelf, video)
    shelf.recover(5.0)
    assert files(shelf, video) == {"results/masks.mkv"}
