"""Rows and files of videos, in step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from own_rows import OwnRows

from server.database.connection import sqlite_url
from server.database.piece_statements import WHOLE, Held
from server.database.uploads import UploadRecord
from server.database.video_record import VideoRecord, VideoState, new_id
from server.errors import NoCapacity, Unavailable
from server.frame import VideoInfo
from server.settings import VideoSettings
from server.videos.files import VideoFiles
from server.videos.quota import LINGER_SECONDS
from server.videos.recovery import recover

INFO = VideoInfo(64, 48, 10, 0.4, Fraction(25), Fraction(1, 1000))


@pytest.fixture
def video_files(tmp_path: Path) -> Iterator[VideoFiles]:
    store = OwnRows(sqlite_url(tmp_path / "videos.db"))
    video_files = VideoFiles(
        store,
        tmp_path / "videos",
        VideoSettings(min_free_bytes=0, max_jobs=2, keep_uploads=False),
    )
    recover(video_files, 0.0)
    yield video_files
    store.close()


def uploaded(video_files: VideoFiles, key: str | None = None) -> str:
    video = new_id(1.0)
    video_files.place(video).write_bytes(b"upload")
    video_files.add(VideoRecord(video, "clip", "fake", 6, INFO, ("masks.mkv",), "f", 1.0, key))
    return video


def begun(video_files: VideoFiles) -> Held:
    """A video whose results are being made by this server."""
    video = uploaded(video_files)
    assert video_files.store.begin(video, 2.0, anew=True) is not None
    held = video_files.take_whole(video)
    assert held is not None
    video_files.results(video, "results.e1").mkdir()
    (video_files.results(video, "results.e1") / "masks.mkv").write_bytes(b"half")
    return held


def end(video_files: VideoFiles, held: Held, state: VideoState, now: float) -> bool:
    return video_files.end(held, state, now, 10, results="results.e1")


def files(video_files: VideoFiles, video: str) -> set[str]:
    folder = video_files.upload(video).parent
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_video_that_succeeded_keeps_its_results_alone(video_files: VideoFiles) -> None:
    held = begun(video_files)
    assert end(video_files, held, VideoState.SUCCEEDED, 3.0)
    assert files(video_files, held.video) == {"results.e1/masks.mkv"}


@pytest.mark.parametrize(
    ("state", "kept"),
    [
        (VideoState.SUCCEEDED, {"upload", "results.e1/masks.mkv"}),
        (VideoState.FAILED, set()),
    ],
)
def test_uploads_are_kept_with_their_results(
    tmp_path: Path, video_files: VideoFiles, state: VideoState, kept: set[str]
) -> None:
    keeping = VideoFiles(video_files.store, tmp_path / "videos", VideoSettings(min_free_bytes=0))
    held = begun(keeping)
    assert keeping.keeps_upload(VideoState.RUNNING)
    assert end(keeping, held, state, 3.0)
    recover(keeping, 4.0)
    assert files(keeping, held.video) == kept
    assert keeping.keeps_upload(state) == bool(kept)


def test_a_video_that_failed_keeps_nothing(video_files: VideoFiles) -> None:
    held = begun(video_files)
    video_files.end(held, VideoState.FAILED, 3.0, 10, {"code": "fault"})
    assert not video_files.upload(held.video).parent.exists()


def test_a_video_put_back_is_queued_unless_others_work_on_it(video_files: VideoFiles) -> None:
    mine, others = begun(video_files).video, uploaded(video_files)
    assert video_files.store.begin(others, 2.0, anew=True) is not None
    assert video_files.piece_rows.take_whole(others, "another", 1000.0) is not None
    for video in (mine, others):
        video_files.put_back(video)
    assert video_files.store.states() == {mine: VideoState.QUEUED, others: VideoState.RUNNING}


def test_nothing_is_touched_where_the_state_says_no(video_files: VideoFiles) -> None:
    video = begun(video_files).video
    whole = {"upload", "results.e1/masks.mkv"}
    video_files.remove(video)
    assert files(video_files, video) == whole
    video_files.store.cancel(video, 3.0)
    video_files.put_back(video)
    assert files(video_files, video) == whole
    video_files.clear(video)
    assert files(video_files, video) == set()


def test_a_video_that_has_ended_before_keeps_the_files_of_that_end(video_files: VideoFiles) -> None:
    """A failing store may already have stored the end, which is then stored again."""
    held = begun(video_files)
    video_files.store.finish(held, VideoState.SUCCEEDED, 3.0, 10, results="results.e1")
    assert not end(video_files, held, VideoState.SUCCEEDED, 4.0)
    assert files(video_files, held.video) == {"results.e1/masks.mkv"}
    cancelled = begun(video_files)
    video_files.store.cancel(cancelled.video, 3.0)
    assert not end(video_files, cancelled, VideoState.SUCCEEDED, 4.0)
    assert files(video_files, cancelled.video) == set()


def test_who_was_thought_dead_ends_nothing_and_keeps_what_counts(video_files: VideoFiles) -> None:
    late = begun(video_files)
    video_files.piece_rows.free(video_files.owner)
    now = video_files.take_whole(late.video)
    assert now is not None
    video_files.results(now.video, "results.e2").mkdir()
    (video_files.results(now.video, "results.e2") / "masks.mkv").write_bytes(b"whole")
    for state in (VideoState.SUCCEEDED, VideoState.FAILED):
        assert not end(video_files, late, state, 3.0)
        assert "results.e2/masks.mkv" in files(video_files, late.video)
    assert video_files.end(now, VideoState.SUCCEEDED, 4.0, 10, results="results.e2")
    assert not end(video_files, late, VideoState.FAILED, 5.0)
    assert files(video_files, now.video) == {"results.e2/masks.mkv"}


def test_a_place_that_was_not_taken_is_removed(video_files: VideoFiles) -> None:
    left, taken = new_id(1.0), uploaded(video_files)
    video_files.place(left).write_bytes(b"half")
    for video in (left, taken):
        video_files.discard_unless_added(video)
    assert not video_files.upload(left).parent.exists()
    assert files(video_files, taken) == {"upload"}


def test_a_start_tidies_what_a_dead_process_left(video_files: VideoFiles) -> None:
    video = begun(video_files).video
    orphan = new_id(1.0)
    video_files.place(orphan).write_bytes(b"half")
    assert recover(video_files, 3.0) == 1
    assert video_files.store.states() == {video: VideoState.QUEUED}
    assert not video_files.upload(orphan).parent.exists()


def test_a_start_with_another_database_removes_no_results(
    tmp_path: Path, video_files: VideoFiles
) -> None:
    done = succeeded(video_files, 3.0)
    store = OwnRows(sqlite_url(tmp_path / "other.db"))
    other = VideoFiles(store, tmp_path / "videos", VideoSettings(min_free_bytes=0))
    assert recover(other, 4.0) == 0
    uploaded(other)
    assert recover(other, 5.0) == 1
    store.close()
    assert files(video_files, done) == {"results.e1/masks.mkv"}


def test_an_empty_database_removes_nothing(tmp_path: Path, video_files: VideoFiles) -> None:
    waiting = uploaded(video_files)
    store = OwnRows(sqlite_url(tmp_path / "other.db"))
    recover(VideoFiles(store, tmp_path / "videos", VideoSettings(min_free_bytes=0)), 4.0)
    store.close()
    assert files(video_files, waiting) == {"upload"}


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
    held = begun(video_files)
    video = held.video

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        end(video_files, held, VideoState.SUCCEEDED, 3.0)
        recover(video_files, 4.0)
    assert "upload" in files(video_files, video)
    recover(video_files, 5.0)
    assert files(video_files, video) == {"results.e1/masks.mkv"}


MakeFiles = Callable[..., VideoFiles]


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[MakeFiles]:
    """Makes VideoFiles with its own settings: ``limited(max_videos=1)``."""
    stores: list[OwnRows] = []

    def make(**settings: Any) -> VideoFiles:
        stores.append(OwnRows(sqlite_url(tmp_path / "videos.db")))
        limits = VideoSettings(min_free_bytes=0, **settings)
        made = VideoFiles(stores[-1], tmp_path / "videos", limits)
        recover(made, 0.0)
        return made

    yield make
    for store in stores:
        store.close()


def succeeded(video_files: VideoFiles, now: float) -> str:
    held = begun(video_files)
    assert end(video_files, held, VideoState.SUCCEEDED, now)
    return held.video


def test_a_video_that_has_ended_counts_with_all_its_files(limited: MakeFiles) -> None:
    video_files = limited()
    video = succeeded(video_files, 3.0)
    (kept,) = video_files.store.kept()
    assert (kept.id, kept.nbytes, kept.ended) == (video, len(b"upload") + len(b"half"), 3.0)
    video_files.store.set_stored(video, 0)
    recover(video_files, 4.0)
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
    with pytest.raises(NoCapacity, match="cannot keep more videos"):
        video_files.check_capacity(1, None)
    assert files(video_files, old) == {"upload", "results.e1/masks.mkv"}


def test_the_oldest_video_makes_room_once_another_is_accepted(limited: MakeFiles) -> None:
    video_files = limited(max_total_bytes=20, when_full="oldest")
    old = succeeded(video_files, 3.0)
    video_files.check_capacity(20, None)
    with pytest.raises(NoCapacity):
        video_files.check_capacity(21, None)
    assert video_files.store.get(old) is not None, "removed before there was another video"
    new = uploaded(video_files)
    assert set(video_files.store.states()) == {old, new}
    assert video_files.store.begin(new, 4.0, anew=True) is not None
    held = video_files.take_whole(new)
    assert held is not None
    video_files.results(new, "results.e1").mkdir()
    (video_files.results(new, "results.e1") / "masks.mkv").write_bytes(bytes(5))
    assert end(video_files, held, VideoState.SUCCEEDED, 5.0)
    assert set(video_files.store.states()) == {new}
    assert not video_files.upload(old).parent.exists()


def test_uploads_in_parts_are_no_orphans(limited: MakeFiles) -> None:
    video_files = limited()
    video_files.uploads.add(UploadRecord("part", 10, {}, None, 1.0), 1, 10)
    video_files.place("part").write_bytes(b"half")
    video_files.place("orphan").write_bytes(b"half")
    recover(video_files, 2.0)
    assert video_files.upload("part").exists()
    assert not video_files.upload("orphan").exists()


def test_a_video_that_is_not_planned_has_no_parts(video_files: VideoFiles) -> None:
    assert video_files.parts(uploaded(video_files), "poster.jpg")(0) is None


def test_parts_end_while_the_database_does_not_answer(
    video_files: VideoFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    part_of = video_files.parts(uploaded(video_files), "poster.jpg")

    def silent(_: str) -> None:
        raise Unavailable("The database does not answer: try again in a moment.")

    monkeypatch.setattr(video_files.store, "get", silent)
    assert part_of(0) is None


def sharing(tmp_path: Path, name: str) -> VideoFiles:
    """The files of one of several servers that share a folder."""
    store = OwnRows(sqlite_url(tmp_path / "shared.db"), name, "shared")
    settings = VideoSettings(min_free_bytes=0, folder=tmp_path, upload_seconds=100.0)
    return VideoFiles(store, tmp_path / "videos", settings)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[tuple[VideoFiles, VideoFiles]]:
    """Two servers that share a folder."""
    both = sharing(tmp_path, "a"), sharing(tmp_path, "b")
    for one in both:
        recover(one, 0.0)
    yield both
    for one in both:
        one.store.database.close()


def test_a_start_leaves_alone_what_other_servers_do(servers: tuple[VideoFiles, VideoFiles]) -> None:
    a, b = servers
    running, arriving = begun(a).video, new_id(1.0)
    a.place(arriving).write_bytes(b"half")
    now = a.places.changed(arriving)
    assert recover(b, now + 99.0) == 0
    assert files(b, running) == {"upload", "results.e1/masks.mkv"}
    assert b.store.states() == {running: VideoState.RUNNING}
    assert files(b, arriving) == {"upload"}
    recover(b, now + 101.0)
    assert not b.upload(arriving).parent.exists()
    assert recover(a, now) == 1


def test_a_server_that_fails_alone_ends_no_video_on_which_others_work(
    servers: tuple[VideoFiles, VideoFiles],
) -> None:
    a, b = servers
    video = uploaded(a)
    plan = a.take_whole(video)
    assert plan is not None and b.take_whole(video) is None
    a.piece_rows.plan(plan, [(0, 9, []), (10, None, [])], None, "signature")
    a.piece_rows.release(plan)
    taken = a.piece_rows.take(video, 1, a.owner, 1000.0, "signature")
    whole = b.take_whole(video)
    assert taken is not None and whole == Held(video, WHOLE, 2) and b.others_work(whole)
    a.piece_rows.release(Held(video, 1, taken.epoch))
    assert not b.others_work(whole)
    assert b.take_whole("unknown") is None


def test_pieces_linger_for_those_who_read_them_on_other_servers(
    servers: tuple[VideoFiles, VideoFiles],
) -> None:
    a, b = servers
    held = begun(a)
    a.pieces(held.video).mkdir()
    assert end(a, held, VideoState.SUCCEEDED, 1000.0)
    a.leave(held.video, 1000.0 + LINGER_SECONDS - 1)
    assert b.expire(1000.0 + LINGER_SECONDS - 1) == []
    assert a.pieces(held.video).exists()
    assert b.expire(1000.0 + LINGER_SECONDS) == []
    assert not a.pieces(held.video).exists()
    assert files(a, held.video) == {"upload", "results.e1/masks.mkv"}


def test_pieces_stay_as_long_as_somebody_reads_them_on_any_server(
    servers: tuple[VideoFiles, VideoFiles],
) -> None:
    """A browser plays the overlay in its own time, which may be far longer than several servers
    needed for the video."""
    a, b = servers
    held = begun(a)
    a.pieces(held.video).mkdir()
    a.places.viewers.begin(held.video)
    assert end(b, held, VideoState.SUCCEEDED, 1000.0)
    for seconds in range(0, 2000, 10):
        a.expire(1000.0 + seconds)
        b.expire(1000.0 + seconds + 9)
        assert b.pieces(held.video).exists(), seconds
    a.places.viewers.end(held.video)
    b.expire(2990.0 + LINGER_SECONDS - 1)
    assert a.pieces(held.video).exists(), "somebody may read them on another server still"
    b.expire(2990.0 + LINGER_SECONDS)
    assert not a.pieces(held.video).exists()
    assert files(a, held.video) == {"upload", "results.e1/masks.mkv"}


def test_pieces_that_a_server_read_when_it_died_go(servers: tuple[VideoFiles, VideoFiles]) -> None:
    a, b = servers
    held = begun(a)
    a.pieces(held.video).mkdir()
    a.places.viewers.begin(held.video)
    assert end(a, held, VideoState.SUCCEEDED, 1000.0)
    a.expire(1050.0)
    b.expire(1060.0)
    assert b.pieces(held.video).exists()
    b.expire(1050.0 + LINGER_SECONDS)
    assert not b.pieces(held.video).exists()


def test_viewers_keep_nothing_of_a_video_that_was_removed(
    servers: tuple[VideoFiles, VideoFiles],
) -> None:
    a, b = servers
    video = begun(a).video
    a.pieces(video).mkdir()
    a.places.viewers.begin(video)
    a.expire(5.0)
    b.store.cancel(video, 5.0)
    b.leave(video, 5.0)
    a.expire(6.0)
    assert not a.upload(video).parent.exists()


def test_what_was_cancelled_does_not_linger(servers: tuple[VideoFiles, VideoFiles]) -> None:
    a, b = servers
    video = begun(a).video
    b.store.cancel(video, 5.0)
    a.leave(video, 5.0)
    assert not a.upload(video).parent.exists()
