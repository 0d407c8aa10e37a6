"""The rows of uploaded videos and their states."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import sqlalchemy as sql
from own_rows import OwnRows

from server.database.connection import sqlite_url
from server.database.video_record import VideoRecord, VideoState, new_id
from server.errors import Conflict, Fault, NoCapacity
from server.frame import VideoInfo

INFO = VideoInfo(64, 48, 10, 0.4, Fraction(30000, 1001), Fraction(1, 90000), 90, "h264")
PROBLEM = {"code": "fault", "status": 500}


def record(created: float = 1.0, key: str | None = None) -> VideoRecord:
    return VideoRecord(
        id=new_id(created),
        name="clip.mp4",
        model="fake",
        size=5 * 2**30,
        info=INFO,
        artefacts=("masks.mkv", "summary.json"),
        fingerprint="f" * 64,
        created=created,
        key=key,
    )


def execute(url: str, *statements: str) -> None:
    with connected(url) as connection:
        for statement in statements:
            connection.execute(sql.text(statement))


@contextmanager
def connected(url: str) -> Iterator[sql.Connection]:
    engine = sql.create_engine(url)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


@pytest.fixture
def store(database_url: str) -> Iterator[OwnRows]:
    store = OwnRows(database_url)
    yield store
    store.close()


def added(store: OwnRows, created: float = 1.0, key: str | None = None) -> VideoRecord:
    fresh = record(created, key)
    store.add(fresh, max_queued=100)
    return fresh


def test_a_record_comes_back_as_it_was_written(store: OwnRows) -> None:
    fresh = added(store, key="k")
    assert store.get(fresh.id) == fresh
    assert store.by_key("k") == fresh
    assert store.get("nothing") is None
    assert store.by_key("nothing") is None


def test_a_record_outlives_the_process(database_url: str) -> None:
    first = OwnRows(database_url)
    fresh = added(first)
    first.close()
    second = OwnRows(database_url)
    assert second.get(fresh.id) == fresh
    second.close()


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    OwnRows(sqlite_url(tmp_path / "a name with ?#%.db")).close()
    assert (tmp_path / "a name with ?#%.db").is_file()


def test_a_video_lives_from_queued_to_succeeded(store: OwnRows) -> None:
    fresh = added(store)
    begun = replace(fresh, state=VideoState.RUNNING, started=2.0, attempts=1)
    assert store.claim(2.0) == begun
    assert store.finish(fresh.id, VideoState.SUCCEEDED, 3.0, 10)
    ended = replace(begun, state=VideoState.SUCCEEDED, ended=3.0, frames_done=10)
    assert store.get(fresh.id) == ended


def test_a_failure_keeps_its_problem(store: OwnRows) -> None:
    fresh = added(store)
    store.claim(2.0)
    assert store.finish(fresh.id, VideoState.FAILED, 3.0, 4, PROBLEM)
    failed = store.get(fresh.id)
    assert failed is not None
    assert (failed.state, failed.problem) == (VideoState.FAILED, PROBLEM)


def test_the_oldest_is_claimed_first_and_each_once(store: OwnRows) -> None:
    later, earlier = added(store, 2.0), added(store, 1.0)
    with ThreadPoolExecutor(4) as threads:
        claimed = [store.claim(3.0), *threads.map(store.claim, [4.0, 4.0, 4.0])]
    assert [c.id for c in claimed if c] == [earlier.id, later.id]


@pytest.mark.parametrize("running", [False, True])
def test_a_cancelled_video_never_runs_again(store: OwnRows, running: bool) -> None:
    fresh = added(store)
    if running:
        store.claim(2.0)
    assert store.cancel(fresh.id, 3.0, 7)
    assert store.claim(4.0) is None
    assert not store.release(fresh.id)
    assert not store.finish(fresh.id, VideoState.SUCCEEDED, 4.0, 10)
    assert not store.cancel(fresh.id, 5.0, 8)
    store.recover(6.0, 1, PROBLEM)
    found = store.get(fresh.id)
    assert found is not None
    assert (found.state, found.ended) == (VideoState.CANCELLED, 3.0)
    assert found.frames_done == 7


def test_release_undoes_the_beginning(store: OwnRows) -> None:
    fresh = added(store)
    store.claim(2.0)
    assert store.release(fresh.id)
    assert store.get(fresh.id) == fresh


def test_only_videos_that_nobody_runs_are_released(store: OwnRows) -> None:
    runs, stray, waits = added(store, 1.0), added(store, 2.0), added(store, 3.0)
    for _ in range(2):
        store.claim(4.0)
    assert store.release_others([runs.id]) == [stray.id]
    assert store.release_others([runs.id]) == []
    states = [getattr(store.get(video.id), "state", None) for video in (runs, stray, waits)]
    assert states == [VideoState.RUNNING, VideoState.QUEUED, VideoState.QUEUED]
    assert store.get(stray.id) == stray


def test_what_a_dead_process_left_running_is_queued_until_it_was_begun_too_often(
    store: OwnRows,
) -> None:
    fresh = added(store)
    for attempt in (1, 2):
        begun = store.claim(2.0)
        assert begun is not None
        assert begun.attempts == attempt
        store.recover(3.0, max_attempts=3, problem=PROBLEM)
    store.claim(4.0)
    store.recover(5.0, max_attempts=3, problem=PROBLEM)
    found = store.get(fresh.id)
    assert found is not None
    assert (found.state, found.problem) == (VideoState.FAILED, PROBLEM)


def test_a_key_is_taken_once(store: OwnRows) -> None:
    added(store, key="k")
    with pytest.raises(Conflict):
        store.add(record(key="k"), max_queued=100)
    added(store)
    added(store)


def test_the_queue_is_bounded(store: OwnRows) -> None:
    added(store)
    with pytest.raises(NoCapacity):
        store.add(record(), max_queued=1)
    store.claim(2.0)
    store.add(record(), max_queued=1)


def test_pages_are_newest_first_and_do_not_overlap(store: OwnRows) -> None:
    ids = [added(store, float(second)).id for second in range(5)]
    first = [r.id for r in store.page(2)]
    second = [r.id for r in store.page(2, before=first[-1])]
    third = [r.id for r in store.page(2, before=second[-1])]
    assert first + second + third == ids[::-1]


def test_only_an_ended_video_is_removed_and_its_key_is_free_again(store: OwnRows) -> None:
    fresh = added(store, key="k")
    assert not store.remove(fresh.id)
    store.cancel(fresh.id, 2.0)
    assert store.remove(fresh.id)
    assert store.get(fresh.id) is None
    assert not store.remove(fresh.id)
    added(store, key="k")


def test_counts_and_states_tell_every_video(store: OwnRows) -> None:
    first, second = added(store, 1.0), added(store, 2.0)
    store.claim(3.0)
    counts = {state: store.count(state) for state in VideoState}
    assert counts == dict.fromkeys(VideoState, 0) | {VideoState.RUNNING: 1, VideoState.QUEUED: 1}
    assert store.states() == {first.id: VideoState.RUNNING, second.id: VideoState.QUEUED}


def test_a_file_that_is_no_database_is_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "videos.db"
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(Fault, match="database"):
        OwnRows(sqlite_url(path))


def test_a_driver_that_is_missing_is_a_fault_that_says_what_to_install() -> None:
    with pytest.raises(Fault, match=r"mastream\[cluster\]"):
        OwnRows("postgresql+pg8000://localhost/nowhere")


def test_a_claim_passes_over_what_another_is_claiming(postgres_url: str) -> None:
    store = OwnRows(postgres_url)
    first, second = added(store, 1.0), added(store, 2.0)
    with connected(postgres_url) as another:
        oldest = sql.text("SELECT id FROM videos ORDER BY id LIMIT 1 FOR UPDATE")
        assert another.scalar(oldest) == first.id
        claimed = store.claim(3.0)
    assert claimed is not None
    assert claimed.id == second.id
    store.close()


def test_sqlite_keeps_a_write_ahead_log(tmp_path: Path) -> None:
    store = OwnRows(sqlite_url(tmp_path / "videos.db"))
    added(store)
    store.close()
    with sqlite3.connect(tmp_path / "videos.db") as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_ids_sort_by_time_and_differ() -> None:
    assert new_id(1.0) < new_id(1.5) < new_id(1e9)
    assert len({new_id(1.0) for _ in range(100)}) == 100


def test_an_info_written_before_pixels_had_a_shape_is_read(database_url: str) -> None:
    with closing(OwnRows(database_url)) as store:
        store.add(record(), 10)
    with connected(database_url) as connection:
        text = str(connection.scalar(sql.text("SELECT CAST(info AS VARCHAR(999)) FROM videos")))
        info = json.loads(text)
        del info["pixel_aspect"]
        connection.execute(sql.text("UPDATE videos SET info = :info"), {"info": json.dumps(info)})
    with closing(OwnRows(database_url)) as store:
        assert store.page(1)[0].info == INFO
