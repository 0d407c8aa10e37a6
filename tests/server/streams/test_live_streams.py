"""All pulled streams of one server, with a fake owner: which run, and what ends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from server.admission import Limit
from server.database.streams import HeldStream, TakenStream
from server.engines.fake import fake_spec
from server.errors import Conflict, Draining, Fault, NoCapacity, NotFound, TooMany, Unavailable
from server.frame import Frame, Mask
from server.sources.base import Source
from server.streams import live_streams
from server.streams.definition import StreamDefinition
from server.streams.live_streams import LiveStreams
from server.streams.ownership import Ownership
from server.streams.place import Place
from server.streams.pulled import PulledStream
from server.streams.pulled_services import PulledServices
from server.streams.pulled_source import OpenSource
from server.streams.states import Rules, StreamState
from server.workers.serving import Serving

pytestmark = pytest.mark.anyio

FAILED = "the pulled streams cannot be maintained"


class Owner:
    """Holds what it is told to. ``free`` is taken in turn; ``answers`` are what renewals raise, the
    last one repeatedly; ``acts`` are the changes that were made."""

    tend_seconds, patience = 0.001, 0.01

    def __init__(self, left: str = "", free: str = "") -> None:
        self.left, self.free = list(left), list(free)
        self.held: set[str] = set()
        self.epochs: dict[str, int] = {}
        self.unknown: set[str] = set()
        self.sealed: set[str] = set()
        self.playing: set[str] = set()
        self.url = "rtsp://camera/path"
        self.acts: list[str] = []
        self.avoided: list[str] = []
        self.answers: list[Exception | None] = [None]
        self.renewals = 0
        self.releasing, self.may_release = asyncio.Event(), asyncio.Event()
        self.may_release.set()
        self.may_add = asyncio.Event()
        self.may_add.set()
        self.may_renew = asyncio.Event()
        self.may_renew.set()
        self.refuses = False

    @property
    def whereabouts(self) -> Owner:
        return self

    def may_act(self, held: HeldStream) -> bool:
        return held.name in self.held and self.epochs[held.name] == held.epoch

    def check_elsewhere(self, name: str, may_see: Callable[[str], bool]) -> None:
        """Nothing is elsewhere."""

    async def start(self) -> list[TakenStream]:
        return self._taken(self.left)

    async def take_free(self, most: int | None) -> list[TakenStream]:
        taken, self.free = self.free[:most], self.free[len(self.free[:most]) :]
        return self._taken(taken)

    def _taken(self, names: list[str]) -> list[TakenStream]:
        return [TakenStream(self._hold(name), self._definition(name), "restart") for name in names]

    def _hold(self, name: str) -> HeldStream:
        self.held.add(name)
        self.epochs[name] = self.epochs.get(name, 0) + 1
        return HeldStream(name, self.epochs[name], 1.0)

    def _definition(self, name: str) -> dict[str, Any]:
        if name in self.unknown:
            return {}
        given = replace(paused(name), paused=name not in self.playing, url=self.url)
        return given.to_dict()

    async def add(self, name: str, _: Mapping[str, Any], created: float) -> HeldStream:
        await self.may_add.wait()
        self.acts.append(f"add {name} at {created}")
        return self._hold(name)

    async def change(self, held: HeldStream, fields: Mapping[str, Any]) -> None:
        self.acts.append(f"{'pause' if fields['paused'] else 'resume'} {held.name}")

    async def change_all(self, fields: Mapping[HeldStream, Mapping[str, Any]]) -> None:
        for held, one in fields.items():
            self.acts.append(f"{held.name} is at {one['place']['sent']}")

    async def remove(self, held: HeldStream) -> None:
        self.held.discard(held.name)
        self.acts.append(f"remove {held.name}")

    async def release(self, held: HeldStream, fields: Mapping[str, Any] | None = None) -> None:
        self.releasing.set()
        await self.may_release.wait()
        if self.may_act(held):
            if self.refuses:
                raise Unavailable("The database does not answer.")
            self.held.discard(held.name)
            at = f" at {fields['place']['sent']}" if fields and fields.get("place") else ""
            self.acts.append(f"release {held.name}{at}")

    def is_left(self, taken: TakenStream) -> bool:
        return taken.name in self.sealed

    def avoid(self, name: str) -> None:
        self.avoided.append(name)

    def drop(self, held: HeldStream) -> None:
        if self.may_act(held):
            self.held.discard(held.name)

    async def renew(self) -> None:
        await self.may_renew.wait()
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


class Silent(Source):
    """A camera that sends nothing, and closes once it ``may_close``."""

    live = True

    def __init__(self) -> None:
        self.may_close, self.closed = asyncio.Event(), False

    async def __aiter__(self) -> AsyncIterator[Frame]:
        await asyncio.Event().wait()
        yield Frame(np.zeros((16, 32, 3), np.uint8), 0)

    async def aclose(self) -> None:
        await self.may_close.wait()
        self.closed = True


class Cameras:
    """Those that were opened, by the name of their stream, the last one of each."""

    def __init__(self) -> None:
        self.opened: dict[str, Silent] = {}
        self.all: list[Silent] = []

    def __call__(self, definition: StreamDefinition, *_: object) -> Source:
        self.all.append(Silent())
        self.opened[definition.name] = self.all[-1]
        return self.all[-1]

    def let_close(self) -> None:
        for camera in self.all:
            camera.may_close.set()


def services(open_source: OpenSource) -> PulledServices:
    worker = cast(Serving, SimpleNamespace(spec=fake_spec(16, 32)))
    clock = asyncio.get_running_loop().time
    return PulledServices(worker, open_source, Rules(), clock, wall=lambda: 5.0, random=lambda: 0.0)


@asynccontextmanager
async def running(
    owner: Owner, limit: Limit | None = None, cameras: Cameras | None = None
) -> AsyncIterator[LiveStreams]:
    given = services(cameras or no_source), cast(Ownership, owner)
    streams = LiveStreams(*given, limit or Limit("streams"))
    await streams.start()
    try:
        yield streams
    finally:
        owner.may_release.set()
        if cameras is not None:
            cameras.let_close()
        await streams.stop()


async def until(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not met():  # noqa: ASYNC110  many things are waited for
            await asyncio.sleep(0.001)


async def everything_that_can_happen_now() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


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


async def test_leases_are_renewed_while_the_first_streams_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner = Owner(left="ab")
    start = owner.start

    async def start_slowly() -> list[TakenStream]:
        taken = await start()
        await until(lambda: owner.renewals > 1)
        return taken

    monkeypatch.setattr(owner, "start", start_slowly)
    async with running(owner) as streams:
        assert names(streams) == ["a", "b"]


async def test_one_that_cannot_be_pulled_is_given_back_and_keeps_none_of_the_others() -> None:
    owner = Owner(left="a", free="bc")
    owner.unknown = {"a", "b"}
    async with running(owner) as streams:
        assert [one.definition.name for one in streams.all()] == ["c"]
        assert owner.acts == ["release a", "release b"] and owner.held == {"c"}
        assert owner.avoided == ["a", "b"]


async def test_one_that_is_left_to_others_is_given_back_unchanged() -> None:
    owner = Owner(left="ab")
    owner.sealed = {"a"}
    async with running(owner) as streams:
        assert names(streams) == ["b"]
        assert owner.acts == ["release a"] and owner.avoided == ["a"]


async def test_one_that_can_neither_be_pulled_nor_given_back_keeps_none_of_the_others() -> None:
    owner = Owner()
    async with running(owner) as streams:
        owner.unknown, owner.refuses = {"a", "c"}, True
        owner.free = ["a", "b", "c", "d"]
        await until(lambda: len(streams) == 2)
        assert names(streams) == ["b", "d"]
        await until(lambda: owner.held == {"b", "d"})
        owner.refuses = False


async def test_a_stream_ends_with_its_lease_even_while_a_renewal_waits_for_the_database() -> None:
    owner = Owner(left="ab")
    async with running(owner) as streams:
        owner.may_renew.clear()
        owner.held.discard("a")
        await until(lambda: len(streams) == 1)
        assert names(streams) == ["b"]


async def test_after_a_freeze_no_stream_ends_before_the_database_was_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner = Owner(left="a")
    is_frozen, looked = False, 0

    def forget_expired() -> None:
        nonlocal looked
        looked += 1
        if is_frozen:
            owner.held.clear()

    async def renew() -> None:
        nonlocal is_frozen
        await everything_that_can_happen_now()
        is_frozen = False

    monkeypatch.setattr(owner, "patience", 10.0)
    monkeypatch.setattr(owner, "forget_expired", forget_expired)
    monkeypatch.setattr(owner, "renew", renew)
    async with running(owner) as streams:
        for _ in range(20):
            is_frozen, before = True, looked
            await until(lambda: looked > before)  # noqa: B023  it is awaited here
        assert names(streams) == ["a"]


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


async def test_each_is_given_back_as_soon_as_its_own_source_is_closed() -> None:
    owner, cameras = Owner(left="ab"), Cameras()
    owner.playing = {"a", "b"}
    async with running(owner, cameras=cameras) as streams:
        await until(lambda: len(cameras.opened) == 2)
        slow, quick = cameras.opened["a"], cameras.opened["b"]
        quick.may_close.set()
        draining = asyncio.create_task(streams.drain())
        await until(lambda: bool(owner.acts))
        assert owner.acts == ["release b"] and not slow.closed
        slow.may_close.set()
        await draining
        assert owner.acts == ["release b", "release a"] and slow.closed


async def test_a_database_that_does_not_take_them_back_is_asked_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    owner = Owner(left="abc")
    async with running(owner) as streams:
        owner.refuses = True
        await streams.drain()
        words = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
        assert len(words) == 1 and "only when the leases end" in words[0]
        assert owner.held == set("abc")
        owner.refuses = False
    assert owner.held == set()


async def test_one_that_is_being_added_while_all_are_given_back_is_given_back_too() -> None:
    owner = Owner()
    async with running(owner) as streams:
        owner.may_add.clear()
        adding = asyncio.create_task(streams.add(paused("a")))
        await asyncio.sleep(0)
        draining = asyncio.create_task(streams.drain())
        await asyncio.sleep(0)
        owner.may_add.set()
        await asyncio.gather(adding, draining)
        assert owner.acts == ["add a at 5.0", "release a"]


async def test_one_that_is_being_paused_while_all_are_given_back_stays_paused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    owner, cameras = Owner(left="a"), Cameras()
    owner.playing.add("a")
    written: list[Mapping[str, Any]] = []
    may_write = asyncio.Event()

    async def change(_: HeldStream, fields: Mapping[str, Any]) -> None:
        await may_write.wait()
        written.append(fields)

    async def release(held: HeldStream, fields: Mapping[str, Any]) -> None:
        owner.drop(held)
        written.append(fields)

    monkeypatch.setattr(owner, "change", change)
    monkeypatch.setattr(owner, "release", release)
    async with running(owner, cameras=cameras) as streams:
        await until(lambda: bool(cameras.opened))
        cameras.let_close()
        pausing = asyncio.create_task(streams.pause("a", True))
        await asyncio.sleep(0)
        draining = asyncio.create_task(streams.drain())
        await everything_that_can_happen_now()
        may_write.set()
        await asyncio.gather(pausing, draining)
    assert written[:2] == [{"paused": True}, {}], "what is given back writes no definition"


async def test_the_source_of_one_that_was_lost_is_closed_before_the_server_has_stopped() -> None:
    owner, cameras = Owner(left="a"), Cameras()
    owner.playing = {"a"}
    async with running(owner, cameras=cameras) as streams:
        await until(lambda: len(cameras.opened) == 1)
        lost = cameras.opened["a"]
        owner.held.discard("a")
        await until(lambda: len(streams) == 0)
        draining = asyncio.create_task(streams.drain())
        await everything_that_can_happen_now()
        assert not draining.done() and not lost.closed
        lost.may_close.set()
        await draining
        assert lost.closed


async def test_one_that_is_removed_while_all_are_given_back_is_closed_once() -> None:
    owner, cameras = Owner(left="a"), Cameras()
    owner.playing = {"a"}
    async with running(owner, cameras=cameras) as streams:
        await until(lambda: len(cameras.opened) == 1)
        removing = asyncio.create_task(streams.remove("a"))
        await until(lambda: len(streams) == 0)
        stopping = asyncio.create_task(streams.stop())
        await everything_that_can_happen_now()
        cameras.opened["a"].may_close.set()
        await asyncio.gather(removing, stopping)
        assert cameras.opened["a"].closed


async def test_one_that_was_lost_and_taken_back_sends_nothing_of_its_earlier_task() -> None:
    owner, cameras = Owner(left="a"), Cameras()
    owner.playing = {"a"}
    async with running(owner, cameras=cameras) as streams:
        await until(lambda: len(cameras.opened) == 1)
        earlier, camera = streams.find("a"), cameras.opened["a"]
        owner.held.discard("a")
        await until(lambda: len(streams) == 0)
        owner.free = ["a"]
        await until(lambda: cameras.opened["a"] is not camera)
        later = streams.find("a")
        frame = Frame(np.zeros((16, 32, 3), np.uint8), 0)
        for stream in (earlier, later):
            stream.viewers.mask(Mask(np.zeros((16, 32), np.uint8), frame))
        assert [one.measures.masks for one in (earlier, later)] == [0, 1]
        assert dict(earlier.measures.drops) == {"moved": 1}


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
    owner.url = "file:///film.mp4"
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
