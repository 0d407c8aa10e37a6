"""Two owners on one database and a clock of the test's own: one at a time, whoever freezes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, cast

import pytest

from server.cluster.lease import Terms
from server.cluster.membership import Membership
from server.cluster.placement import RETURN_SECONDS, Candidate
from server.database.connection import Database, sqlite_url
from server.database.streams import HeldStream, StreamRows, TakenStream
from server.errors import Elsewhere, NoCapacity, Unavailable
from server.security.sealing import Seal
from server.streams.avoided import AVOID_SECONDS
from server.streams.ownership import Ownership

pytestmark = pytest.mark.anyio

BRIEF = Terms(lease=0.2, renew=0.1, margin=0.05)
LONG = Terms(lease=60.0, renew=20.0, margin=1.0)


causes: list[str] = []
"""Why streams were taken, by all owners of the test that runs."""

lost: list[str] = []
"""Owners that lost a stream, once for each."""


class Peers:
    """A membership that two servers of a test share."""

    is_replaced = False
    is_alone = False

    def __init__(self, name: str, others: list[str]) -> None:
        self.name, self.peers = name, others

    @property
    def candidates(self) -> list[Candidate]:
        return [Candidate(one, 0, 9) for one in (self.name, *self.peers)]

    def url_of(self, name: str | None) -> str | None:
        return f"http://{name}" if name in self.peers else None


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[StreamRows]:
    with closing(Database(sqlite_url(tmp_path / "rows.db"))) as database:
        yield StreamRows(database, Seal(lambda: b"a" * 64))


@asynccontextmanager
async def owner(
    rows: StreamRows, name: str, others: str = "", terms: Terms = LONG, clock: Clock | None = None
) -> AsyncIterator[Ownership]:
    peers = cast(Membership, Peers(name, list(others)))
    given = terms, clock or Clock(), causes.append, lambda: lost.append(name)
    ownership = Ownership(rows, peers, *given)
    causes.clear()
    lost.clear()
    try:
        yield ownership
    finally:
        await ownership.close()


async def taken_once_free(ownership: Ownership) -> list[TakenStream]:
    while True:
        if taken := await ownership.take_free(1):
            return taken
        await asyncio.sleep(0.01)


async def test_a_stream_is_its_adders_until_it_is_given_back(rows: StreamRows) -> None:
    async with owner(rows, "a", "b") as a, owner(rows, "b", "a") as b:
        held = await a.add("s", {"n": 1}, 1.0)
        assert await b.take_free(None) == [] and not b.holds("s") and a.holds("s")
        with pytest.raises(Elsewhere) as refusal:
            b.whereabouts.check_elsewhere("s", lambda _: True)
        assert refusal.value.url == "http://a"
        b.whereabouts.check_elsewhere("s", lambda _: False)  # who may not see it learns nothing
        await a.release(held)
        await a.release(held)
        taken = [*await a.take_free(None), *await b.take_free(None)]
        assert [(one.name, one.definition) for one in taken] == [("s", {"n": 1})]


async def test_an_owner_that_freezes_stops_by_its_own_clock(rows: StreamRows) -> None:
    clock = Clock()
    async with owner(rows, "a", "b", LONG, clock) as a:
        held = await a.add("s", {}, 1.0)
        clock.now += LONG.lease - LONG.margin
        assert not a.holds("s")
        a.forget_expired()
        assert lost == ["a"]
        with pytest.raises(NoCapacity, match="has moved"):
            await a.change(held, {"n": 2})


async def test_what_expired_is_taken_and_the_earlier_owner_changes_nothing(
    rows: StreamRows,
) -> None:
    async with owner(rows, "a", "b", BRIEF) as a, owner(rows, "b", "a") as b:
        held = await a.add("s", {"n": 1}, 1.0)
        taken = await taken_once_free(b)
        assert (taken[0].held.epoch, causes) == (2, ["expired"])
        assert [b.whereabouts.count(one) for one in ("held", "elsewhere", "free")] == [1, 0, 0]
        with pytest.raises(NoCapacity, match="has moved"):
            await a.change(held, {"n": 2})
        with pytest.raises(NoCapacity, match="has moved"):
            await a.remove(held)
        await a.release(held)
        assert b.holds("s") and taken[0].definition == {"n": 1}


async def test_a_renewal_finds_out_what_was_lost(rows: StreamRows) -> None:
    clock = Clock()
    async with owner(rows, "a", "b", BRIEF, clock) as a, owner(rows, "b", "a") as b:
        await a.add("s", {}, 1.0)
        await a.add("t", {}, 2.0)
        await taken_once_free(b)
        clock.now += BRIEF.renew
        await a.renew()
        assert [a.holds(name) for name in "st"] == [False, True]
        assert lost == ["a"]


def unanswered(*_: object) -> None:
    raise Unavailable("The database does not answer.")


async def test_a_server_that_knows_no_other_keeps_its_streams_while_the_database_is_away(
    rows: StreamRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    async with owner(rows, "a", "", LONG, clock) as a:
        held = await a.add("s", {}, 1.0)
        clock.now += LONG.renew
        with monkeypatch.context() as patch:
            patch.setattr(rows, "renew", unanswered)
            with pytest.raises(Unavailable):
                await a.renew()
            clock.now += 9 * LONG.lease
            a.forget_expired()
            assert a.may_act(held)
        await a.renew()
        assert a.may_act(held)
        clock.now += LONG.lease
        assert not a.may_act(held)


async def test_a_server_that_knows_no_other_asks_after_a_freeze_before_it_continues(
    rows: StreamRows,
) -> None:
    clock = Clock()
    async with owner(rows, "a", "", BRIEF, clock) as a, owner(rows, "b", "a") as b:
        held, other = await a.add("s", {}, 1.0), await a.add("t", {}, 2.0)
        (taken,) = await taken_once_free(b)
        clock.now += 9 * BRIEF.lease
        assert not a.may_act(held) and not a.may_act(other), "another may have begun meanwhile"
        await a.renew()
        assert taken.held.name == "s"
        assert (a.may_act(held), a.may_act(other)) == (False, True)


async def test_after_a_freeze_it_does_nothing_while_it_asks(
    rows: StreamRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    async with owner(rows, "a", "", BRIEF, clock) as a, owner(rows, "b", "a") as b:
        held = await a.add("s", {}, 1.0)
        await taken_once_free(b)
        clock.now += 9 * BRIEF.lease
        while_it_asks: list[bool] = []
        whole = rows.renew

        def renew(*given: Any) -> set[HeldStream]:
            while_it_asks.append(a.may_act(held))
            return whole(*given)

        monkeypatch.setattr(rows, "renew", renew)
        await a.renew()
        assert (while_it_asks, lost) == ([False], ["a"])


async def test_leases_that_end_during_a_renewal_are_kept_if_no_other_server_is_known(
    rows: StreamRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    async with owner(rows, "a", "", LONG, clock) as a:
        due = await a.add("s", {}, 1.0)
        clock.now += LONG.renew
        not_due = await a.add("t", {}, 2.0)
        while_it_asks: list[bool] = []
        whole = rows.renew

        def renew(*given: Any) -> set[HeldStream]:
            monkeypatch.setattr(rows, "renew", whole)
            clock.now += 9 * LONG.lease
            while_it_asks.extend(a.may_act(one) for one in (due, not_due))
            return whole(*given)

        monkeypatch.setattr(rows, "renew", renew)
        await a.renew()
        a.forget_expired()
        assert while_it_asks == [True, True]
        assert a.may_act(due) and a.may_act(not_due)


async def test_a_stream_that_is_dropped_is_anybodys_once_its_lease_ends(rows: StreamRows) -> None:
    clock = Clock()
    async with owner(rows, "a", "b", BRIEF, clock) as a, owner(rows, "b", "a") as b:
        held = await a.add("s", {}, 1.0)
        a.drop(held)
        a.drop(held)
        assert not a.may_act(held)
        clock.now += BRIEF.renew
        await a.renew()
        (taken,) = await taken_once_free(b)
        assert (taken.held.epoch, lost) == (2, [])


async def test_a_restart_takes_its_own_back_at_once(rows: StreamRows) -> None:
    async with owner(rows, "a", "b") as a:
        await a.add("s", {"n": 1}, 1.0)
    async with owner(rows, "b", "a") as b, owner(rows, "a", "b") as again:
        assert await b.start() == [] and await b.take_free(None) == []
        (taken,) = await again.start()
        assert (taken.name, taken.held.epoch, again.holds("s")) == ("s", 2, True)
        assert causes == ["restart"]
        await b.take_free(None)
        assert [b.whereabouts.count(one) for one in ("held", "elsewhere", "free")] == [0, 1, 0]
        await again.release(taken.held)
        await again.take_free(None)
        await b.take_free(None)
        assert causes == ["restart", "given_back"]
        assert lost == []


async def test_a_process_that_was_replaced_takes_nothing(rows: StreamRows) -> None:
    rows.add("s", {}, 1.0, "x", -1.0)
    async with owner(rows, "a") as a:
        a._membership.is_replaced = True
        assert await a.take_free(None) == []
        a._membership.is_replaced = False
        assert len(await a.take_free(None)) == 1


async def test_what_one_server_cannot_pull_is_left_to_others(rows: StreamRows) -> None:
    clock = Clock()
    rows.add("s", {}, 1.0, "x", -30.0)
    async with owner(rows, "a", "b", LONG, clock) as a, owner(rows, "b", "a") as b:
        a.avoid("s")
        assert await a.take_free(None) == []
        (taken,) = await b.take_free(None)
        await b.release(taken.held)
        clock.now += AVOID_SECONDS
        assert [one.name for one in await taken_once_free(a)] == ["s"]


async def test_a_password_that_one_server_cannot_read_is_left_to_others_once(
    rows: StreamRows,
) -> None:
    clock = Clock()
    rows.add("s", {"url": "rtsp://user:hidden@host/x"}, 1.0, "x", -30.0)
    other = StreamRows(rows._database, Seal(lambda: b"b" * 64))
    async with owner(other, "a", "b", LONG, clock) as a, owner(rows, "b", "a") as b:
        (taken,) = await a.take_free(None)
        assert a.is_left(taken)
        a.avoid("s")
        await a.release(taken.held)
        (theirs,) = await taken_once_free(b)
        assert theirs.definition == {"url": "rtsp://user:hidden@host/x"} and not b.is_left(theirs)
        await b.release(theirs.held)
        clock.now += AVOID_SECONDS
        (again,) = await taken_once_free(a)
        assert not a.is_left(again), "nobody else has taken it"


async def test_a_server_without_others_pulls_what_it_can_read(rows: StreamRows) -> None:
    rows.add("s", {"url": "rtsp://user:hidden@host/x"}, 1.0, "x", -30.0)
    async with owner(StreamRows(rows._database, Seal(lambda: b"b" * 64)), "a") as a:
        (taken,) = await a.take_free(None)
        assert taken.definition == {"url": "rtsp://host/x"} and not a.is_left(taken)


async def test_what_is_given_back_is_taken_as_it_was_left(rows: StreamRows) -> None:
    async with owner(rows, "a", "b") as a, owner(rows, "b") as b:
        s = await a.add("s", {"n": 1}, 1.0)
        t = await a.add("t", {"n": 1}, 2.0)
        await a.change_all({s: {"n": 2}, t: {"n": 2}})
        await a.release(s)
        await a.release(t, {"n": 3})
        taken = await b.take_free(None)
        found = {one.name: (one.definition["n"], one.cause) for one in taken}
        assert found == {"s": (2, "given_back"), "t": (3, "given_back")}


async def test_what_was_lost_is_not_changed_with_the_others(rows: StreamRows) -> None:
    clock = Clock()
    async with owner(rows, "a", "b", BRIEF, clock) as a, owner(rows, "b", "a") as b:
        s = await a.add("s", {"n": 1}, 1.0)
        t = await a.add("t", {"n": 1}, 2.0)
        (first,) = await taken_once_free(b)
        await a.change_all({s: {"n": 2}, t: {"n": 2}})
        assert first.definition == {"n": 1}
        (second,) = await taken_once_free(b)
        assert second.definition == {"n": 2}
        clock.now += BRIEF.lease
        await a.change_all({s: {"n": 9}, t: {"n": 9}})
        found = [rows.take_back(name, "b", 60.0) for name in (first.name, second.name)]
        assert [one and one.definition for one in found] == [{"n": 1}, {"n": 2}]


async def test_alone_it_renews_nothing_and_keeps_all_that_nobody_has_taken(
    rows: StreamRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    async with owner(rows, "a", "", BRIEF, clock) as a:
        a._membership.is_alone = True
        await a.add("s", {}, 1.0)
        await a.add("t", {}, 2.0)
        monkeypatch.setattr(rows, "renew", None)
        clock.now += 99 * BRIEF.lease
        await a.renew()
        a.forget_expired()
        assert a.holds("s") and a.holds("t")
        async with owner(rows, "b") as b:
            while not b.holds("s"):
                await b.take_free(1)
            clock.now += 99 * BRIEF.lease
            await a.renew()
            assert (a.holds("s"), a.holds("t"), lost) == (False, True, ["a"])


async def test_where_streams_went_is_remembered(rows: StreamRows) -> None:
    async with owner(rows, "a") as a:
        await a.take_free(None)
        held = await a.add("s", {}, 1.0)
        where = a.whereabouts
        assert [(one.name, where.state(one)) for one in where.places] == [("s", "held")]
        await a.take_free(None)
        await a.release(held)
        (taken,) = await a.take_free(None)
        assert taken.name == "s"
        await a.remove(taken.held)
        await a.take_free(None)
        changes = where.history.changes
        found = [(one.name, one.now_is.what, one.now_is.server) for one in changes]
        assert found == [("s", "held", "a"), ("s", "free", None), ("s", "removed", None)]


async def test_when_the_database_returns_its_streams_are_taken_back_before_those_of_others(
    rows: StreamRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    rows.add("theirs", {}, 1.0, "c", -30.0)
    rows.add("mine", {}, 2.0, "a", -30.0)
    async with owner(rows, "a", "", LONG, clock) as a:
        with monkeypatch.context() as patch:
            patch.setattr(rows, "places", unanswered)
            with pytest.raises(Unavailable):
                await a.take_free(None)
        clock.now += 30.0
        assert [one.name for one in await a.take_free(None)] == ["mine"]
        assert await a.take_free(None) == []
        clock.now += RETURN_SECONDS
        assert [one.name for one in await a.take_free(None)] == ["theirs"]


async def test_what_was_lost_and_taken_back_is_another_tasks(rows: StreamRows) -> None:
    clock = Clock()
    async with owner(rows, "a", "b", BRIEF, clock) as a, owner(rows, "b", "a") as b:
        earlier = await a.add("s", {"n": 1}, 1.0)
        (theirs,) = await taken_once_free(b)
        clock.now += BRIEF.lease
        a.forget_expired()
        await b.release(theirs.held)
        (again,) = await taken_once_free(a)
        assert a.may_act(again.held) and not a.may_act(earlier)
        with pytest.raises(NoCapacity, match="has moved"):
            await a.change(earlier, {"n": 2})
        with pytest.raises(NoCapacity, match="has moved"):
            await a.remove(earlier)
        await a.change_all({earlier: {"n": 2}})
        await a.release(earlier, {"n": 2})
        assert a.may_act(again.held)
        taken = rows.take_back("s", "a", 60.0)
        assert taken and taken.definition == {"n": 1}


async def test_another_stream_of_the_name_is_not_that_of_a_server_that_was_away(
    rows: StreamRows,
) -> None:
    clock = Clock()
    async with owner(rows, "a", "b", BRIEF, clock) as a, owner(rows, "b", "a") as b:
        earlier = await a.add("s", {"n": 1}, 1.0)
        (theirs,) = await taken_once_free(b)
        await b.remove(theirs.held)
        later = await b.add("s", {"n": 2}, 2.0)
        assert later.epoch == earlier.epoch
        with pytest.raises(NoCapacity, match="has moved"):
            await a.change(earlier, {"n": 1})
        with pytest.raises(NoCapacity, match="has moved"):
            await a.remove(earlier)
        await a.change_all({earlier: {"n": 1}})
        clock.now += BRIEF.renew
        await a.renew()
        assert (a.holds("s"), lost) == (False, ["a"])
        taken = rows.take_back("s", "b", 60.0)
        assert taken and taken.definition == {"n": 2}


async def test_a_renewal_of_one_that_was_removed_does_not_end_its_successor(
    rows: StreamRows, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    async with owner(rows, "a", "b", LONG, clock) as a:
        earlier = await a.add("s", {}, 1.0)
        await a.add("t", {}, 1.0)
        clock.now += LONG.renew
        whole = rows.renew

        def replaced_meanwhile(*given: Any) -> set[HeldStream]:
            kept = whole(*given)
            assert rows.remove(earlier)
            rows.add("s", {}, 2.0, "a", LONG.lease)
            return kept - {earlier}

        monkeypatch.setattr(rows, "renew", replaced_meanwhile)
        renewing = asyncio.create_task(a.renew())
        await asyncio.sleep(0)
        later = earlier._replace(created=2.0)
        a._keep(later, clock.now)
        await renewing
        assert (a.may_act(later), lost) == (True, [])
