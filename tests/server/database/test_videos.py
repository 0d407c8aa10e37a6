"""The rows of uploaded videos and their states."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import pytest
import sqlalchemy as sql
from own_rows import OwnRows
from row_locks import until_one_waits

from server.database.clock import seconds_now
from server.database.connection import sqlite_url
from server.database.piece_statements import WHOLE, Held, PieceState, worked_on
from server.database.pieces import PieceRows
from server.database.schema import PIECES
from server.database.video_record import Standing, VideoRecord, VideoState, new_id
from server.errors import Conflict, Fault, NoCapacity
from server.frame import Losses, VideoInfo

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
    assert store.begin(fresh.id, 2.0, anew=True) == begun
    assert store.finish(store.begun(fresh.id), VideoState.SUCCEEDED, 3.0, 10, results="results.e1")
    ended = replace(
        begun, state=VideoState.SUCCEEDED, ended=3.0, frames_done=10, results="results.e1"
    )
    assert store.get(fresh.id) == ended
    assert store.begin(fresh.id, 4.0, anew=True) is None


def test_a_failure_keeps_its_problem(store: OwnRows) -> None:
    fresh = added(store)
    assert store.finish(store.begun(fresh.id), VideoState.FAILED, 3.0, 4, PROBLEM)
    failed = store.get(fresh.id)
    assert failed is not None
    assert (failed.state, failed.problem) == (VideoState.FAILED, PROBLEM)


def test_a_failure_keeps_the_frames_that_other_servers_have_done(store: OwnRows) -> None:
    fresh, pieces = added(store), PieceRows(store.database)
    pieces.plan(store.begun(fresh.id), [(0, 9, []), (10, None, [])], None, "signature")
    theirs = pieces.take(fresh.id, 0, "another", 100.0, "signature")
    ours = pieces.take(fresh.id, 1, "me", 100.0, "signature")
    assert theirs is not None and ours is not None
    pieces.finish(Held(fresh.id, 0, theirs.epoch), 10, Losses(), 14.0)
    assert store.finish(Held(fresh.id, 1, ours.epoch), VideoState.FAILED, 15.0, 3, PROBLEM)
    failed = store.get(fresh.id)
    assert failed is not None
    assert failed.frames_done == 10


def test_only_who_holds_the_work_ends_a_video(store: OwnRows) -> None:
    """A server that was believed dead and wakes up holds an outdated epoch."""
    fresh, pieces = added(store), PieceRows(store.database)
    late = store.begun(fresh.id)
    pieces.free("me")
    now = store.begun(fresh.id, owner="another")
    for state in (VideoState.SUCCEEDED, VideoState.FAILED):
        assert not store.finish(late, state, 3.0, 10)
    assert store.finish(now, VideoState.SUCCEEDED, 4.0, 10)
    assert not store.finish(now, VideoState.SUCCEEDED, 5.0, 10)


def test_a_video_that_several_begin_begins_once(store: OwnRows) -> None:
    fresh = added(store)
    store.begin(fresh.id, 2.0, anew=True)
    again = store.begin(fresh.id, 3.0, anew=False)
    assert again is not None
    assert (again.started, again.attempts, again.spent) == (2.0, 1, 0.0)


def test_a_video_that_was_put_back_in_between_runs_with_the_next_piece(store: OwnRows) -> None:
    fresh = added(store)
    store.begin(fresh.id, 2.0, anew=True)
    assert store.release(fresh.id)
    held = taken(store, fresh.id)
    found = store.get(fresh.id)
    assert found is not None and found.started is not None
    assert (found.state, found.attempts) == (VideoState.RUNNING, 1)
    assert store.finish(held, VideoState.SUCCEEDED, 3.0, 10)


def taken(store: OwnRows, video: str) -> Held:
    row = PieceRows(store.database).take_whole(video, "me", 1000.0)
    assert row is not None
    return Held(video, WHOLE, row.epoch)


def test_time_in_which_nobody_worked_on_a_video_does_not_count(store: OwnRows) -> None:
    fresh, pieces = added(store), PieceRows(store.database)
    pieces.plan(store.begun(fresh.id, 10.0), [(0, 9, []), (10, None, [])], None, "signature")
    row = pieces.take(fresh.id, 0, "me", 100.0, "signature")
    assert row is not None
    pieces.finish(Held(fresh.id, 0, row.epoch), 10, Losses(), 14.0)
    again = store.begin(fresh.id, 100.0, anew=True)
    assert again is not None
    assert (again.spent, again.started, again.progressed) == (4.0, 100.0, None)
    assert again.frames_done == 10


def test_the_oldest_comes_first(store: OwnRows) -> None:
    later, earlier = added(store, 2.0), added(store, 1.0)
    assert [one.id for one in store.standings()] == [earlier.id, later.id]
    (found,) = store.standings(later.id)
    assert replace(found, untouched=0.0) == Standing(later.id, None, True, 0, 0, 0, 0, 0.0)
    store.cancel(earlier.id, 3.0)
    assert [one.id for one in store.standings()] == [later.id]


def test_what_there_is_to_do_counts_pieces(store: OwnRows) -> None:
    fresh, pieces = added(store), PieceRows(store.database)
    held = store.begun(fresh.id)
    pieces.plan(held, [(n, n, []) for n in range(5)], None, "signature")
    for number, lease in ((0, 100.0), (1, 100.0), (2, -1.0)):
        row = pieces.take(fresh.id, number, "me", lease, "signature")
        assert row is not None
        if number == 0:
            pieces.finish(Held(fresh.id, 0, row.epoch), 1, Losses(), 3.0)
    whole = Standing(fresh.id, "signature", False, free=3, held=1, done=1, total=5, untouched=0.0)
    assert standing(store) == whole
    pieces.release(held)
    assert standing(store) == replace(whole, whole_is_free=True)


def standing(store: OwnRows) -> Standing:
    (found,) = store.standings()
    return replace(found, untouched=0.0)


def test_how_long_nobody_has_had_a_piece_is_known(store: OwnRows) -> None:
    def untouched() -> float:
        (found,) = store.standings()
        return found.untouched

    fresh, pieces = added(store), PieceRows(store.database)
    assert untouched() > 1e9, "nobody ever had"
    held = store.begun(fresh.id)
    pieces.plan(held, [(n, n, []) for n in range(3)], None, "signature")
    assert 0.0 <= untouched() < 60.0, "it was planned just now, whoever has the whole"
    ends = 1000.0
    row = pieces.take(fresh.id, 0, "me", -ends, "signature")
    assert row is not None
    with store.database.begin() as connection:
        connection.execute(sql.text("UPDATE pieces SET expires = expires - 500 WHERE number = 1"))
        connection.execute(sql.text("UPDATE pieces SET expires = expires - 400 WHERE number = 2"))
    assert 400.0 <= untouched() < 460.0
    pieces.release(Held(fresh.id, 0, row.epoch))
    assert 0.0 <= untouched() < 60.0
    assert pieces.take(fresh.id, 1, "me", ends, "signature") is not None
    assert -ends <= untouched() < 60.0 - ends


def test_servers_see_the_videos_of_their_folder_alone(database_url: str) -> None:
    with (
        closing(OwnRows(database_url, "a", "shared")) as a,
        closing(OwnRows(database_url, "b", "shared")) as b,
    ):
        fresh = added(a)
        with closing(OwnRows(database_url, "c")) as c:
            assert [one.id for one in b.standings()] == [fresh.id]
            assert (b.count(VideoState.QUEUED), len(b.kept())) == (1, 1)
            assert c.standings() == c.kept() == []
            assert c.get(fresh.id) == a.get(fresh.id) is not None


@pytest.mark.parametrize("running", [False, True])
def test_a_cancelled_video_never_runs_again(store: OwnRows, running: bool) -> None:
    fresh = added(store)
    held = store.begun(fresh.id) if running else Held(fresh.id, WHOLE, 0)
    assert store.cancel(fresh.id, 3.0, 7)
    assert store.begin(fresh.id, 4.0, anew=True) is None
    assert not store.release(fresh.id)
    assert not store.finish(held, VideoState.SUCCEEDED, 4.0, 10)
    assert not store.cancel(fresh.id, 5.0, 8)
    store.requeue()
    found = store.get(fresh.id)
    assert found is not None
    assert (found.state, found.ended) == (VideoState.CANCELLED, 3.0)
    assert found.frames_done == 7


def test_release_undoes_the_beginning(store: OwnRows) -> None:
    fresh = added(store)
    store.begin(fresh.id, 2.0, anew=True)
    assert store.release(fresh.id)
    assert store.get(fresh.id) == fresh


def test_a_video_on_which_others_work_stays_running(store: OwnRows) -> None:
    fresh = added(store)
    store.begun(fresh.id, owner="another")
    assert not store.release(fresh.id)
    store.requeue()
    found = store.get(fresh.id)
    assert found is not None
    assert found.state is VideoState.RUNNING


@pytest.mark.parametrize("starts", [False, True])
def test_a_video_of_which_a_piece_is_being_taken_stays_running(
    postgres_url: str, starts: bool
) -> None:
    with closing(OwnRows(postgres_url, "a")) as store, ThreadPoolExecutor(1) as another:
        fresh = added(store)
        PieceRows(store.database).release(store.begun(fresh.id))
        put_back = store.requeue if starts else partial(store.release, fresh.id)
        with store.database.begin() as connection:
            took = {"state": PieceState.RUNNING, "expires": seconds_now() + 1000.0}
            connection.execute(PIECES.update().values(took))
            connection.execute(worked_on(fresh.id))
            released = another.submit(put_back)
            until_one_waits(connection)
        assert not released.result()
        found = store.get(fresh.id)
        assert found is not None
        assert found.state is VideoState.RUNNING


def test_what_a_dead_process_left_running_is_queued(store: OwnRows) -> None:
    fresh = added(store)
    store.begun(fresh.id)
    PieceRows(store.database).free("me")
    store.requeue()
    assert store.get(fresh.id) == replace(fresh, attempts=1)


def test_a_video_that_an_older_server_added_can_be_worked_on(store: OwnRows) -> None:
    fresh, other = added(store, 1.0), added(store, 2.0)
    with store.database.begin() as connection:
        connection.execute(sql.text(f"DELETE FROM pieces WHERE video = '{fresh.id}'"))
    assert [one.id for one in store.standings()] == [other.id]
    store.requeue()
    assert [one.id for one in store.standings()] == [fresh.id, other.id]
    assert store.begun(fresh.id) == Held(fresh.id, WHOLE, 1)


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
    store.begin(store.page(1)[0].id, 2.0, anew=True)
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


def test_counts_and_states_report_every_video(store: OwnRows) -> None:
    first, second = added(store, 1.0), added(store, 2.0)
    store.begin(first.id, 3.0, anew=True)
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
