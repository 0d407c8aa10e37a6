"""The rows of servers, and of the streams that they take: one owner at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import pytest

from server.database.connection import Database
from server.database.owners import OwnerRows, Presence
from server.database.streams import HeldStream, StreamRows
from server.security.sealing import Seal

HERE = Presence("http://a", "node", "fake", 1, 9)
LONG, OVER = 1000.0, -1.0


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing(Database(database_url)) as opened:
        yield opened


@pytest.fixture
def streams(database: Database) -> StreamRows:
    return StreamRows(database, Seal(lambda: b"a" * 64))


def test_a_server_is_alive_while_it_reports(database: Database) -> None:
    rows = OwnerRows(database)
    assert rows.enter("a", HERE, LONG) == 1
    assert rows.beat("a", 1, replace(HERE, sessions=5), LONG)
    (found,) = rows.all()
    assert (found.name, found.epoch, found.presence.sessions, found.is_alive) == ("a", 1, 5, True)
    assert 900 < found.lasts <= LONG
    assert rows.leave("a", 1)
    assert not rows.all()[0].is_alive


def test_a_restart_raises_the_epoch_and_shuts_the_earlier_process_out(database: Database) -> None:
    rows = OwnerRows(database)
    assert [rows.enter("a", HERE, LONG) for _ in range(3)] == [1, 2, 3]
    assert not rows.beat("a", 2, replace(HERE, sessions=99), LONG) and not rows.leave("a", 2)
    assert rows.all()[0].presence == HERE


def test_rows_of_long_ago_are_removed_but_not_ones_own(database: Database) -> None:
    rows = OwnerRows(database)
    rows.enter("b", HERE, -1e6)
    rows.enter("a", HERE, -1e6)
    assert [one.name for one in rows.all()] == ["a"]
    assert rows.enter("a", HERE, LONG) == 2


def test_only_one_of_many_takes_a_free_stream(streams: StreamRows) -> None:
    streams.add("s", {}, 1.0, "a", OVER)
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda name: streams.take("s", name, LONG), "bcdefghi"))
    (winner,) = [one for one in taken if one]
    assert winner.held.epoch == 2
    (place,) = streams.places()
    assert not place.is_free and place.server in set("bcdefghi")


def test_a_stream_that_is_held_is_not_taken(streams: StreamRows) -> None:
    streams.add("s", {}, 1.0, "a", LONG)
    assert streams.take("s", "b", LONG) is None
    assert streams.take_back("s", "b", LONG) is None
    assert streams.take_back("s", "a", LONG) is not None, "its own server has restarted"


def test_who_was_thought_dead_changes_nothing(streams: StreamRows) -> None:
    held = streams.add("s", {"n": 1}, 1.0, "a", OVER)
    assert streams.take("s", "b", LONG)
    assert streams.renew([held], "a", LONG) == set()
    assert not streams.change(held, {"n": 2})
    assert not streams.release(held)
    assert not streams.remove(held)
    (place,) = streams.places()
    assert (place.server, place.is_free) == ("b", False)


def test_renewals_keep_only_what_is_still_held(streams: StreamRows) -> None:
    held = [streams.add(name, {}, 1.0, "a", OVER) for name in ("s", "t", "u")]
    assert streams.take("t", "b", LONG)
    assert streams.renew(held, "a", LONG) == {held[0], held[2]}
    assert [one.lasts > 900 for one in streams.places()] == [True] * 3


def test_who_has_restarted_is_not_kept_up_by_its_earlier_process(streams: StreamRows) -> None:
    """Both have the same name: only the epoch tells them apart."""
    earlier = streams.add("s", {}, 1.0, "a", LONG)
    other = streams.add("t", {}, 2.0, "a", 100.0)
    now = streams.take_back("s", "a", 100.0)
    assert now and now.held == HeldStream("s", 2, 1.0)
    assert streams.renew([earlier, HeldStream("t", 2, 2.0)], "a", LONG) == set()
    assert [90 < one.lasts <= 100 for one in streams.places()] == [True, True]
    held = {now.held, other}
    assert streams.renew(list(held), "a", LONG) == held
    assert [one.lasts > 900 for one in streams.places()] == [True, True]


def test_a_stream_that_was_given_back_is_free_at_once(streams: StreamRows) -> None:
    held = streams.add("s", {"owner": "key"}, 1.0, "a", LONG)
    assert streams.release(held) and not streams.release(held)
    (place,) = streams.places()
    assert (place.is_free, place.server, place.key) == (True, None, "key")
    assert -60 < place.lasts <= 0
    taken = streams.take("s", "b", LONG)
    assert taken and (taken.held.epoch, taken.definition) == (2, {"owner": "key"})
    assert streams.remove(taken.held)
