"""Servers on one database see each other, and the servers to which clients can be sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from server.cluster.membership import Membership, Times, socket_url
from server.database.connection import Database, sqlite_url
from server.database.owners import OwnerRows, Presence
from server.errors import Elsewhere, Fault, NoCapacity

pytestmark = pytest.mark.anyio

HERE = Presence(None, "node", "fake", 1, 9)


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[OwnerRows]:
    with closing(Database(sqlite_url(tmp_path / "rows.db"))) as database:
        yield OwnerRows(database)


@asynccontextmanager
async def member(
    rows: OwnerRows, name: str, presence: Presence, beat: float = 1.0
) -> AsyncIterator[Membership]:
    one = Membership(name, rows, lambda: presence, Times(beat))
    await one.start()
    try:
        yield one
    finally:
        await one.stop()
        await one.stop()


async def test_a_server_sees_those_that_are_there_and_not_those_that_left(rows: OwnerRows) -> None:
    async with member(rows, "a", HERE) as a:
        async with member(rows, "b", replace(HERE, url="http://b/")):
            await a.report_now()
            assert [one.name for one in a.peers] == ["b"]
            assert (a.url_of("b"), a.url_of("a"), a.url_of(None)) == ("http://b/", None, None)
            assert {one.name for one in a.candidates} == {"a", "b"}
        await a.report_now()
        assert a.peers == []


async def test_clients_go_to_the_peer_with_the_most_room_that_they_can_reach(
    rows: OwnerRows,
) -> None:
    small, large = replace(HERE, url="http://b", room=2), replace(HERE, url="https://c/m/", room=5)
    hidden, full = replace(HERE, room=99), replace(HERE, url="http://e", room=0)
    async with (
        member(rows, "b", small),
        member(rows, "c", large),
        member(rows, "d", hidden),
        member(rows, "e", full),
        member(rows, "a", replace(HERE, url="http://a", room=999)) as a,
    ):
        assert a.stream_socket() == "wss://c/m/v1/stream"


async def test_alone_it_sends_no_client_anywhere(rows: OwnerRows) -> None:
    async with member(rows, "a", replace(HERE, url="http://a")) as a:
        assert a.stream_socket() is None


async def test_a_second_process_of_the_same_name_replaces_the_first(
    rows: OwnerRows, caplog: pytest.LogCaptureFixture
) -> None:
    async with member(rows, "a", HERE) as first, member(rows, "a", HERE) as second:
        await first.report_now()
        await second.report_now()
        assert (first.is_replaced, second.is_replaced) == (True, False)
    assert "give each its own folder" in caplog.text


async def test_a_server_keeps_reporting_whatever_fails(
    rows: OwnerRows, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with member(rows, "a", HERE, beat=0.001) as a:
        errors = [Fault("the database failed"), RuntimeError("a bug")]
        beat = rows.beat

        def fail_twice(*given: Any) -> bool:
            if errors:
                raise errors.pop(0)
            return beat(*given)

        monkeypatch.setattr(rows, "beat", fail_twice)
        async with member(rows, "b", HERE), asyncio.timeout(10):
            while not a.peers:  # noqa: ASYNC110  a list does not notify
                await asyncio.sleep(0.001)
    bugs = [one for one in caplog.records if one.levelname == "ERROR"]
    assert [one.getMessage() for one in bugs] == ["this server could not be reported"]
    assert not errors


async def test_what_is_elsewhere_is_refused_with_the_address(rows: OwnerRows) -> None:
    async with member(rows, "b", replace(HERE, url="http://b")), member(rows, "a", HERE) as a:
        a.check_here("a", "The video")
        with pytest.raises(Elsewhere, match="ask http://b") as refusal:
            a.check_here("b", "The video")
        assert refusal.value.url == "http://b"
        with pytest.raises(NoCapacity, match="cannot be reached"):
            a.check_here("gone", "The video")


async def test_videos_are_on_every_server_that_uses_their_folder(rows: OwnerRows) -> None:
    here, there = replace(HERE, videos="mine"), replace(HERE, videos="shared")
    async with (
        member(rows, "b", there),
        member(rows, "c", replace(there, url="http://c", room=1)),
        member(rows, "d", replace(there, url="http://d", room=5)),
        member(rows, "old", replace(HERE, url="http://old")),
        member(rows, "a", here) as a,
    ):
        a.check_videos("mine")
        for folder, url in (("shared", "http://d"), ("old", "http://old")):
            with pytest.raises(Elsewhere) as refusal:
                a.check_videos(folder)
            assert refusal.value.url == url
        with pytest.raises(NoCapacity, match="cannot be reached"):
            a.check_videos("nobody's")


@pytest.mark.parametrize(
    ("url", "socket"),
    [("http://a:1", "ws://a:1/s"), ("https://a/", "wss://a/s"), ("https://a/b/", "wss://a/b/s")],
)
def test_the_socket_of_a_server(url: str, socket: str) -> None:
    assert socket_url(url, "/s") == socket


async def test_alone_it_writes_nothing_until_it_leaves_and_sees_who_replaced_it(
    rows: OwnerRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = Membership("a", rows, lambda: HERE, is_alone=True)
    await alone.start()
    with monkeypatch.context() as patch:
        patch.setattr(rows, "beat", None)
        await alone.report_now()
        assert ([one.name for one in alone.servers], alone.peers) == (["a"], [])
        assert not alone.is_replaced
        async with member(rows, "a", HERE):
            await alone.report_now()
            assert alone.is_replaced
    await alone.stop()


async def test_the_results_of_the_others_are_remembered(rows: OwnerRows) -> None:
    async with member(rows, "a", HERE) as a:
        async with member(rows, "b", HERE):
            await a.report_now()
        await a.report_now()
        changes = [(one.name, one.now_is.what) for one in a.history.changes]
        assert changes == [("b", "alive"), ("b", "gone")]
