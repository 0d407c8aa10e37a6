"""All pulled streams of one server, with a fake owner: which run, and what ends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, cast

import pytest

from server.admission import Limit
from server.database.streams import TakenStream
from server.engines.fake import fake_spec
from server.errors import Conflict, Draining, Fault, NoCapacity, NotFound, TooMany, Unavailable
from server.sources.base import Source
from server.streams import live_streams
from server.streams.definition import StreamDefinition
from server.streams.live_streams import LiveStreams
from server.streams.ownership import Ownership
from server.streams.place import Place
from server.streams.pulled import PulledStream
from server.streams.pulled_services import PulledServices
from server.streams.supervision import Rules, StreamState
from server.workers.serving import Serving

pytestmark = pytest.mark.anyio

FAILED = "the pulled streams cannot be kept up"


class Owner:
    """Holds what it is told to. ``free`` is taken in turn; ``answers`` are what renewals raise, the
    last one for ever; ``acts`` are the changes that were made."""

    tend_seconds = 0.001

    def __init__(self, left: str = "", free: str = "") -> None:
        self.left, self.free = list(left), list(free)
        self.held: set[str] = set()
        self.unknown: set[str] = set()
        self.acts: list[str] = []
        self.answers: list[Exception | None] = [None]
        self.renewals = 0
        self.releasing, self.may_release = asyncio.Event(), asyncio.Event()
        self.may_release.set()

    def holds(self, name: str) -> bool:
        return name in self.held

    def check_elsewhere(self, name: str, may_see: Callable[[str], bool]) -> None:
        """Nothing is elsewhere."""

    async def start(self) -> list[TakenStream]:
        return self._taken(self.left)

    async def take_free(self, most: int | None) -> list[TakenStream]:
        taken, self.free = self.free[:most], self.free[len(self.free[:most]) :]
        return self._taken(taken)

    def _taken(self, names: list[str]) -> list[TakenStream]:
        self.held.update(names)
        return [TakenStream(name, 1, self._definition(name), "restart") for name in names]

    def _definition(self, name: str) -> dict[str, Any]:
        return {} if name in self.unknown else paused(name).to_dict()

    async def add(self, name: str, _: Mapping[str, Any], created: float) -> None:
        self.held.add(name)
        self.acts.append(f"add {name} at {created}")

    async def change(self, name: str, definition: Mapping[str, Any]) -> None:
        self.acts.append(f"{'pause' if definition['paused'] else 'resume'} {name}")

    async def change_all(self, definitions: Mapping[str, Mapping[str, Any]]) -> None:
        self.acts += [f"{name} is at {one['place']['sent']}" for name, one in definitions.items()]

    async def remove(self, name: str) -> None:
        self.held.discard(name)
        self.acts.append(f"remove {name}")

    async def release(self, name: str, definition: Mapping[str, Any]) -> None:
        self.releasing.set()
        await self.may_release.wait()
        if name in self.held:
            self.held.discard(name)
            at = f" at {definition['place']['sent']}" if "place" in definition else ""
            self.acts.append(f"release {name}{at}")

    async def renew(self) -> None:
        answer = self.answers[min(self.renewals, len(self.answers) - 1)]
        self.renewals += 1
        if answer is not None:
            raise answer

    def forget_expired(self) -> None:
        """Leases do not expire here."""

    async def close(self) -> None:
        self.acts.append("close")


def paused(name: str, owner: str = "") -> StreamDefinition:
    return StreamDefinition(name, "rtsp://camera/path", paused=True, owner=owner)


def no_source(*_: object) -> Source:
    raise AssertionError("a paused stream opens no source")


def services() -> PulledServices:
    worker = cast(Serving, SimpleNamespace(spec=fake_spec(16, 32)))
    clock = asyncio.get_running_loop().time
    return PulledServices(worker, no_source, Rules(), clock, wall=lambda: 5.0, random=lambda: 0.0)


@asynccontextmanager
async def running(owner: Owner, limit: Limit | None = None) -> AsyncIterator[LiveStreams]:
    streams = LiveStreams(services(), cast(Ownership, owner), limit or Limit("streams"))
    await streams.start()
    try:
        yield streams
    finally:
        owner.may_release.set()
        await streams.stop()


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not met():  # noqa: ASYNC110  many things are waited for
            await asyncio.sleep(0.001)


def names(streams: LiveStreams) -> list[str]:
    return [one.definition.name for one in streams.all()]


async def test_it_begins_with_what_an_earlier_process_had_and_what_is_free() -> None:
    owner = Owner(left="ab", free="c")
    async with running(owner) as streams:
        assert names(streams) == ["a", "b", "c"]
        assert streams.count(StreamState.PAUSED) == 3
        owner.free = ["d"]
        await until(lambda: len(streams) == 4)
    assert owner.acts == ["release a", "release b", "release c", "release d", "close"]
    assert len(streams) == 0


async def test_one_that_cannot_be_pulled_is_given_back_and_keeps_none_of_the_others() -> None:
    owner = Owner(left="a", free="bc")
    owner.unknown = {"a", "b"}
    async with running(owner) as streams:
        assert [one.definition.name for one in streams.all()] == ["c"]
        assert owner.acts == ["release a", "release b"] and owner.held == {"c"}


async def test_no_more_free_ones_are_taken_than_there_are_places() -> None:
    owner = Owner(left="a", free="bcd")
    async with running(owner, Limit("streams", total=2)) as streams:
        assert names(streams) == ["a", "b"] and owner.free == ["c", "d"]
        await streams.remove("a")
        await until(lambda: owner.free == ["d"])
        assert names(streams) == ["b", "c"]


async def test_a_new_one_is_written_down_before_it_runs() -> None:
    owner = Owner()
    async with running(owner, Limit("streams", each=1, total=2)) as streams:
        added = await streams.add(paused("a", "key"))
        assert (added.definition.created, owner.acts) == (5.0, ["add a at 5.0"])
        assert streams.find("a") is added
        with pytest.raises(Conflict, match="stream a already"):
            await streams.add(paused("a", "other"))
        with pytest.raises(TooMany, match="may have 1"):
            await streams.add(paused("b", "key"))
        await streams.add(paused("b"))
        with pytest.raises(NoCapacity, match="All 2"):
            await streams.add(paused("c"))
        await streams.remove("a")
        with pytest.raises(NotFound, match="no stream 'a'"):
            await streams.pause("a", True)
        assert owner.acts[1:] == ["add b at 5.0", "remove a"]


async def test_what_another_server_has_taken_ends_here_as_if_the_server_stopped() -> None:
    owner = Owner(left="ab")
    async with running(owner) as streams:
        lost = streams.find("a")
        owner.held.discard("a")
        await until(lambda: len(streams) == 1)
        assert names(streams) == ["b"] and lost.viewers.is_leaving
    assert "release a" not in owner.acts


async def test_one_may_be_removed_while_all_are_given_back() -> None:
    owner = Owner(left="abc")
    async with running(owner) as streams:
        owner.may_release.clear()
        draining = asyncio.create_task(streams.drain())
        await owner.releasing.wait()
        await streams.remove("b")
        owner.may_release.set()
        await draining
        assert owner.acts == ["remove b", "release a", "release c"]
        with pytest.raises(Draining):
            await streams.add(paused("d"))


@pytest.mark.parametrize(
    ("error", "logged"),
    [
        (RuntimeError("can't start new thread"), [f"{FAILED}: can't start new thread"]),
        (Fault("The database failed."), [f"{FAILED}: The database failed."]),
        (Unavailable("The database does not answer."), []),
    ],
)
async def test_streams_are_tended_whatever_fails_and_a_failure_is_logged_once(
    error: Exception, logged: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    owner = Owner(left="a")
    owner.answers = [error, error, error, None]
    async with running(owner) as streams:
        await until(lambda: owner.renewals > 5)
        owner.held.clear()
        await until(lambda: len(streams) == 0)
    errors = [one for one in caplog.records if one.levelname == "ERROR"]
    assert [one.getMessage() for one in errors] == logged
    bugs = [one for one in errors if one.exc_info]
    assert bool(bugs) is isinstance(error, RuntimeError), "where a bug is, and only that, is told"


async def test_a_failure_that_comes_back_is_logged_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    owner = Owner()
    owner.answers = [Fault("first"), None, Fault("second"), None]
    async with running(owner):
        await until(lambda: owner.renewals > 4)
    errors = [one.getMessage() for one in caplog.records if one.levelname == "ERROR"]
    assert errors == [f"{FAILED}: first", f"{FAILED}: second"]


async def test_the_places_of_files_are_stored_as_they_move_and_when_they_are_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    places: dict[str, Place | None] = {"a": place(3), "b": None}
    where = property(lambda stream: places[stream.definition.name])
    monkeypatch.setattr(PulledStream, "place", where)
    monkeypatch.setattr(live_streams, "PLACE_SECONDS", 0.001)
    owner = Owner(left="ab")
    async with running(owner):
        await until(lambda: bool(owner.acts))
        places["a"] = place(4)
        await until(lambda: len(owner.acts) > 1)
        renewals = owner.renewals
        await until(lambda: owner.renewals > renewals + 20)
        assert owner.acts == ["a is at 3", "a is at 4"]
        places |= {"a": place(5), "b": place(9)}
    assert {"release a at 5", "release b at 9"} <= set(owner.acts)


def place(sent: int) -> Place:
    begin = sent, Fraction(sent, 25), Fraction(0), Fraction(0), None
    return Place(*begin, sent=sent, sent_at=Fraction(sent, 25), fills=True)
