"""Rows and files of videos, in step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from own_rows import OwnRows

from server.database.connection import sqlite_url
from server.database.uploads import UploadRecord
from server.database.video_record import VideoRecord, VideoState, new_id
from server.errors import NoCapacity
from server.frame import VideoInfo
from server.settings import VideoSettings
from server.videos.files import MAX_ATTEMPTS, VideoFiles

INFO = VideoInfo(64, 48, 10, 0.4, Fraction(25), Fraction(1, 1000))


@pytest.fixture
def video_files(tmp_path: Path) -> Iterator[VideoFiles]:
    store = OwnRows(sqlite_url(tmp_path / "videos.db"))
    video_files = VideoFiles(
        store,
        tmp_path / "videos",
        VideoSettings(min_free_bytes=0, max_jobs=2, keep_uploads=False),
    )
    video_files.recover(0.0)
    yield video_files
    store.close()


def uploaded(video_files: VideoFiles, key: str | None = None) -> str:
    video = new_id(1.0)
    video_files.place(video).write_bytes(b"upload")
    video_files.add(VideoRecord(video, "clip", "fake", 6, INFO, ("masks.mkv",), "f", 1.0, key))
    return video


def begun(video_files: VideoFiles) -> str:
    video = uploaded(video_files)
    assert video_files.store.claim(2.0) is not None
    video_files.results(video).mkdir()
    (video_files.results(video) / "masks.mkv").write_bytes(b"half")
    return video


def files(video_files: VideoFiles, video: str) -> set[str]:
    folder = video_files.upload(video).parent
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_video_that_succeeded_keeps_its_results_alone(video_files: VideoFiles) -> None:
    video = begun(video_files)
    video_files.end(video, VideoState.SUCCEEDED, 3.0, 10)
    assert files(video_files, video) == {"results/masks.mkv"}


@pytest.mark.parametrize(
    ("end", "kept"),
    [
        (VideoState.SUCCEEDED, {"upload", "results/masks.mkv"}),
        (VideoState.FAILED, set()),
    ],
)
def test_uploads_are_kept_with_their_results(
    tmp_path: Path, video_files: VideoFiles, end: VideoState, kept: set[str]
) -> None:
    keeping = VideoFiles(video_files.store, tmp_path / "videos", VideoSettings(min_free_bytes=0))
    video = begun(keeping)
    assert keeping.keeps_upload(VideoState.RUNNING)
    keeping.end(video, end, 3.0, 10)
    keeping.recover(4.0)
    assert files(keeping, video) == kept
    assert keeping.keeps_upload(end) == bool(kept)


def test_a_video_that_failed_keeps_nothing(video_files: VideoFiles) -> None:
    video = begun(video_files)
    video_files.end(video, VideoState.FAILED, 3.0, 10, {"code": "fault"})
    assert not video_files.upload(video).parent.exists()


def test_a_video_put_back_keeps_its_upload_alone(video_files: VideoFiles) -> None:
    video = begun(video_files)
    video_files.put_back(video)
    assert files(video_files, video) == {"upload"}


def test_nothing_is_touched_where_the_state_says_no(video_files: VideoFiles) -> None:
    video = begun(video_files)
    video_files.remove(video)
    assert files(video_files, video) == {"upload", "results/masks.mkv"}
    video_files.store.cancel(video, 3.0)
    video_files.put_back(video)
    assert files(video_files, video) == {"upload", "results/masks.mkv"}
    video_files.clear(video)
    assert files(video_files, video) == set()


def test_a_video_that_has_ended_before_keeps_the_files_of_that_end(video_files: VideoFiles) -> None:
    """A store that fails may have stored the end before: it is then stored again."""
    video = begun(video_files)
    video_files.store.finish(video, VideoState.SUCCEEDED, 3.0, 10)
    video_files.end(video, VideoState.SUCCEEDED, 4.0, 10)
    assert files(video_files, video) == {"results/masks.mkv"}
    cancelled = begun(video_files)
    video_files.store.cancel(cancelled, 3.0)
    video_files.end(cancelled, VideoState.SUCCEEDED, 4.0, 10)
    assert files(video_files, cancelled) == set()


def test_a_place_that_was_not_taken_is_removed(video_files: VideoFiles) -> None:
    left, taken = new_id(1.0), uploaded(video_files)
    video_files.place(left).write_bytes(b"half")
    for video in (left, taken):
        video_files.discard_unless_added(video)
    assert not video_files.upload(left).parent.exists()
    assert files(video_files, taken) == {"upload"}


def test_a_start_tidies_what_a_dead_process_left(video_files: VideoFiles) -> None:
    video = begun(video_files)
    orphan = new_id(1.0)
    video_files.place(orphan).write_bytes(b"half")
    assert video_files.recover(3.0) == 1
    assert files(video_files, video) == {"upload"}
    assert not video_files.upload(orphan).parent.exists()


def test_a_start_with_another_database_removes_no_results(
    tmp_path: Path, video_files: VideoFiles
) -> None:
    done = begun(video_files)
    video_files.end(done, VideoState.SUCCEEDED, 3.0, 10)
    store = OwnRows(sqlite_url(tmp_path / "other.db"))
    other = VideoFiles(store, tmp_path / "videos", VideoSettings(min_free_bytes=0))
    assert other.recover(4.0) == 0
    uploaded(other)
    assert other.recover(5.0) == 1
    store.close()
    assert files(video_files, done) == {"results/masks.mkv"}


def test_an_empty_database_removes_nothing(tmp_path: Path, video_files: VideoFiles) -> None:
    waiting = uploaded(video_files)
    store = OwnRows(sqlite_url(tmp_path / "other.db"))
    VideoFiles(store, tmp_path / "videos", VideoSettings(min_free_bytes=0)).recover(4.0)
    store.close()
    assert files(video_files, waiting) == {"upload"}


def test_a_video_that_kills_the_server_is_given_up(video_files: VideoFiles) -> None:
    video = uploaded(video_files)
    for _ in range(MAX_ATTEMPTS):
        assert video_files.store.claim(2.0) is not None
        video_files.recover(3.0)
    record = video_files.store.get(video)
    assert record is not None
    assert record.state is VideoState.FAILED
    assert record.problem is not None
    assert "died" in record.problem["detail"]
    assert not video_files.upload(video).parent.exists()


def test_a_full_queue_takes_no_upload_but_one_it_knows(video_files: VideoFiles) -> None:
    video_files.check_capacity(10, None)
    uploaded(video_files, key="known")
    uploaded(video_files)
    video_files.check_capacity(10, "known")
    for key in (None, "other"):
        with pytest.raises(NoCapacity, match="queued"):
            video_files.check_capacity(10, key)


def test_a_disk_nearly_full_takes_no_upload(tmp_path: Path, video_files: VideoFiles) -> None:
    wary = VideoFiles(video_files.store, tmp_path, VideoSettings(min_free_bytes=2**62))
    with pytest.raises(NoCapacity, match="disk"):
        wary.check_capacity(0, None)
    with pytest.raises(NoCapacity, match="disk"):
        video_files.check_capacity(2**62, None)


def test_a_file_that_cannot_be_removed_waits_for_the_next_start(
    video_files: VideoFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = begun(video_files)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        video_files.end(video, VideoState.SUCCEEDED, 3.0, 10)
        video_files.recover(4.0)
    assert "upload" in files(video_files, video)
    video_files.recover(5.0)
    assert files(video_files, video) == {"results/masks.mkv"}


MakeFiles = Callable[..., VideoFiles]


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[MakeFiles]:
    """Makes VideoFiles with settings of their own: ``limited(max_videos=1)``."""
    stores: list[OwnRows] = []

    def make(**settings: Any) -> VideoFiles:
        stores.append(OwnRows(sqlite_url(tmp_path / "videos.db")))
        limits = VideoSettings(min_free_bytes=0, **settings)
        made = VideoFiles(stores[-1], tmp_path / "videos", limits)
        made.recover(0.0)
        return made

    yield make
    for store in stores:
        store.close()


def succeeded(video_files: VideoFiles, now: float) -> str:
    video = begun(video_files)
    video_files.end(video, VideoState.SUCCEEDED, now, 10)
    return video


def test_a_video_that_has_ended_counts_with_all_its_files(limited: MakeFiles) -> None:
    video_files = limited()
    video = succeeded(video_files, 3.0)
    (kept,) = video_files.store.kept()
    assert (kept.id, kept.nbytes, kept.ended) == (video, len(b"upload") + len(b"half"), 3.0)
    video_files.store.set_stored(video, 0)
    video_files.recover(4.0)
    assert video_files.store.kept() == [kept]


def test_videos_expire(limited: MakeFiles) -> None:
    video_files = limited(ttl_seconds=10)
    old, new, waiting = (
        succeeded(video_files, 3.0),
        succeeded(video_files, 9.0),
        uploaded(video_files),
    )
    found = video_files.store.get(old)
    assert found is not None and video_files.expires(found) == 13.0
    assert video_files.expire(12.9) == []
    assert video_files.expire(13.0) == [old]
    assert not video_files.upload(old).parent.exists()
    assert set(video_files.store.states()) == {new, waiting}


def test_another_video_is_refused_when_the_quota_is_full(limited: MakeFiles) -> None:
    video_files = limited(max_videos=1)
    old = succeeded(video_files, 3.0)
    with pytest.raises(NoCapacity, match="keeps no more videos"):
        video_files.check_capacity(1, None)
    assert files(video_files, old) == {"upload", "results/masks.mkv"}


def test_the_oldest_video_makes_room_once_another_is_accepted(limited: MakeFiles) -> None:
    video_files = limited(max_total_bytes=20, when_full="oldest")
    old = succeeded(video_files, 3.0)
    video_files.check_capacity(20, None)
    with pytest.raises(NoCapacity):
        video_files.check_capacity(21, None)
    assert video_files.store.get(old) is not None, "removed before there was another video"
    new = uploaded(video_files)
    assert set(video_files.store.states()) == {old, new}
    video_files.store.claim(4.0)
    video_files.results(new).mkdir()
    (video_files.results(new) / "masks.mkv").write_bytes(bytes(5))
    video_files.end(new, VideoState.SUCCEEDED, 5.0, 10)
    assert set(video_files.store.states()) == {new}
    assert not video_files.upload(old).parent.exists()


def test_uploads_in_parts_are_no_orphans(limited: MakeFiles) -> None:
    video_files = limited()
    video_files.uploads.add(UploadRecord("part", 10, {}, None, 1.0), 1, 10)
    video_files.place("part").write_bytes(b"half")
    video_files.place("orphan").write_bytes(b"half")
    video_files.recover(2.0)
    assert video_files.upload("part").exists()
    assert not video_files.upload("orphan").exists()
