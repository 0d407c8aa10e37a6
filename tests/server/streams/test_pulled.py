"""Pulled streams over scripted sources: the effect of each fault on viewers and the status."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from fractions import Fraction

import numpy as np
import pytest
from watching import unbroken

from models.spec import ModelSpec
from protocol import DropPolicy
from server.engines.fake import FakeEngine, fake_spec
from server.errors import BadRequest, EngineDead, SourceFault, SourceUnauthorized
from server.frame import AnyPixels, Frame, Mask, Pixels, ResetCause
from server.sinks.publishing import PublishStatus
from server.sources.base import Source
from server.streams import connector
from server.streams.definition import StreamDefinition
from server.streams.pulled import PulledStream
from server.streams.pulled_services import PulledServices
from server.streams.states import Rules, StreamState
from server.workers.worker import Worker

pytestmark = pytest.mark.anyio

SPEC = fake_spec(16, 32)
QUICK = Rules(connect=0.2, stall=0.1, give_up=0.1, backoff=0.01, longest_backoff=0.02, refused=0.05)
PATIENT = Rules(connect=60.0, stall=60.0, give_up=60.0, backoff=60.0, longest_backoff=60.0)
WAIT = 10.0

Scene = Callable[["Scripted"], AsyncIterator[Frame]]


def picture(number: int) -> Pixels:
    return np.random.default_rng(number).integers(0, 60, (16, 32, 3), np.uint8)


class Scripted(Source):
    """Plays a scene; ``closed`` once it was closed."""

    live = True

    def __init__(self, scene: Scene, clock: Callable[[], float]) -> None:
        self._frames = scene(self)
        self.clock = clock
        self.closed = False
        self.packet: float | None = None
        self.decoded: float | None = None
        self.missed = 0

    @property
    def last_packet(self) -> float | None:
        return self.packet

    @property
    def last_frame(self) -> float | None:
        return self.decoded

    @property
    def lost(self) -> int:
        return self.missed

    def frame(self, number: int) -> Frame:
        return Frame(
            picture(number), number, pts=Fraction(number, 25), size=(16, 32), arrived=self.clock()
        )

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self._frames

    async def aclose(self) -> None:
        self.closed = True


async def three_and_silence(source: Scripted) -> AsyncIterator[Frame]:
    for number in range(3):
        yield source.frame(number)
    await asyncio.Event().wait()


async def silence(source: Scripted) -> AsyncIterator[Frame]:
    await asyncio.Event().wait()
    yield source.frame(0)


async def noise(source: Scripted) -> AsyncIterator[Frame]:
    while True:
        await asyncio.sleep(0.01)
        source.packet = source.clock()
        if source.closed:
            yield source.frame(0)


async def breaks(source: Scripted) -> AsyncIterator[Frame]:
    yield source.frame(0)
    raise SourceFault("The source broke off: try again.")


async def refuses(source: Scripted) -> AsyncIterator[Frame]:
    raise SourceUnauthorized("The camera wants another password.")
    yield source.frame(0)


async def ends(source: Scripted) -> AsyncIterator[Frame]:
    for number in range(3):
        yield source.frame(number)


class Stage:
    """A stream with its scenes, one per connection; the last one is repeated."""

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.scenes = list(scenes)
        self.sources: list[Scripted] = []
        self.masks: list[Mask] = []
        self.stream: PulledStream

    def open_source(
        self, _: StreamDefinition, __: ModelSpec, ___: Fraction | None = None, /
    ) -> Source:
        scene = self.scenes[min(len(self.sources), len(self.scenes) - 1)]
        source = Scripted(scene, asyncio.get_running_loop().time)
        self.sources.append(source)
        return source

    async def until(self, met: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT):
            while not met():  # noqa: ASYNC110  many things are waited for
                await asyncio.sleep(0.005)

    async def state(self, state: StreamState) -> None:
        await self.until(lambda: self.stream.supervised.state is state)

    def states(self) -> list[str]:
        return [str(one.data["state"]) for one in self.stream.measures.news if one.kind == "state"]


@asynccontextmanager
async def playing(
    *scenes: Scene,
    definition: StreamDefinition | None = None,
    on_step: Callable[[Sequence[AnyPixels]], None] | None = None,
    max_sessions: int = 64,
    rules: Rules = QUICK,
) -> AsyncIterator[Stage]:
    stage = Stage(scenes)
    worker = Worker(
        lambda: FakeEngine(SPEC, on_step=on_step), max_sessions=max_sessions, backoff=0.001
    )
    await worker.start()
    clock = asyncio.get_running_loop().time
    services = PulledServices(
        worker, stage.open_source, rules, clock, wall=lambda: 5.0, random=lambda: 0.0
    )
    asked = definition or StreamDefinition("cam", "rtsp://host/path", max_gap=60)
    stage.stream = PulledStream(asked, services)
    remember = stage.stream.viewers._on_mask

    def on_mask(mask: Mask) -> None:
        stage.masks.append(mask)
        remember(mask)

    stage.stream.viewers._on_mask = on_mask
    running = asyncio.create_task(stage.stream.run())
    try:
        yield stage
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        assert all(source.closed for source in stage.sources)
        assert worker.sessions == 0
        await worker.stop()


async def test_frames_become_masks_and_the_stream_is_live() -> None:
    async with playing(three_and_silence) as stage:
        await stage.until(lambda: bool(stage.masks))
        status = stage.stream.status
        assert (status.state, status.width, status.height) == (StreamState.LIVE, 32, 16)
        assert stage.states()[:2] == ["connecting", "live"]


async def test_a_silent_camera_stalls_and_is_opened_again() -> None:
    async with playing(three_and_silence, silence) as stage:
        await stage.state(StreamState.STALLED)
        assert stage.stream.supervised.code == "source_silent"
        await stage.until(lambda: len(stage.sources) >= 2)
        assert stage.sources[0].closed
        assert stage.states()[:5] == ["connecting", "live", "stalled", "backoff", "connecting"]


async def test_data_that_decodes_to_nothing_is_distinguished_from_silence() -> None:
    async with playing(noise) as stage:
        await stage.state(StreamState.BACKOFF)
        assert stage.stream.supervised.code == "source_undecodable"


async def test_a_broken_source_is_opened_again_and_numbers_continue() -> None:
    every = StreamDefinition("cam", "rtsp://host/path", policy=DropPolicy.EVERY, max_gap=60)
    async with playing(breaks, three_and_silence, definition=every) as stage:
        await stage.until(lambda: len(stage.masks) == 4)
        assert [mask.frame.seq for mask in stage.masks] == [0, 1, 2, 3]
        assert [mask.reset for mask in stage.masks] == [
            ResetCause.NEW, ResetCause.CONNECTION, None, None,
        ]  # fmt: skip
        times = [mask.frame.pts for mask in stage.masks]
        assert times == sorted(times) and len(set(times)) == 4
        assert stage.stream.status.resets == {"connection": 1}
        fresh = unbroken(SPEC, [picture(number) for number in range(3)])
        for mask, expected in zip(stage.masks[1:], fresh, strict=True):
            assert np.array_equal(mask.labels, expected), "as of a fresh stream"


async def test_a_memory_may_be_kept_across_connections() -> None:
    kept = StreamDefinition(
        "cam",
        "rtsp://host/path",
        policy=DropPolicy.EVERY,
        max_gap=60,
        on_connect="keep",
        on_cut="keep",
    )
    async with playing(breaks, three_and_silence, definition=kept) as stage:
        await stage.until(lambda: len(stage.masks) == 4)
        whole = unbroken(SPEC, [picture(number) for number in (0, 0, 1, 2)])
        for mask, expected in zip(stage.masks, whole, strict=True):
            assert np.array_equal(mask.labels, expected)


async def test_a_refusal_is_reported_in_the_cameras_own_case() -> None:
    async with playing(refuses) as stage:
        await stage.state(StreamState.BACKOFF)
        supervised = stage.stream.supervised
        assert (supervised.code, supervised.detail) == (
            "source_unauthorized",
            "The camera wants another password.",
        )
        assert supervised.deadline is not None
        assert supervised.deadline - supervised.since == pytest.approx(QUICK.refused)


async def test_a_pause_closes_the_source_until_it_is_resumed() -> None:
    async with playing(three_and_silence) as stage:
        await stage.until(lambda: bool(stage.masks))
        await stage.stream.pause()
        assert stage.stream.status.state is StreamState.PAUSED
        await stage.until(lambda: stage.sources[0].closed)
        assert stage.stream.definition.paused
        await stage.stream.resume()
        await stage.until(lambda: len(stage.sources) == 2)
        await stage.state(StreamState.LIVE)


async def test_a_file_ends_or_loops() -> None:
    once = StreamDefinition("film", "file:///film.mp4")
    async with playing(ends, definition=once) as stage:
        await stage.state(StreamState.ENDED)
        assert stage.stream.status.detail == ""
    looped = StreamDefinition("film", "file:///film.mp4", loop=True)
    async with playing(ends, ends, three_and_silence, definition=looped) as stage:
        await stage.until(lambda: len(stage.sources) == 3)


async def test_too_many_hung_decoders_fail_the_stream_and_not_the_service(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connector, "abandoned_decoders", lambda: connector.MAX_ABANDONED)
    async with playing(three_and_silence) as stage:
        await stage.state(StreamState.FAILED)
        assert stage.sources == [] and stage.stream.supervised.code == "decoder_hung"
        assert stage.states() == [*["connecting", "backoff"] * 5, "connecting", "failed"]
        monkeypatch.setattr(connector, "abandoned_decoders", lambda: 0)
        await stage.stream.resume()
        await stage.state(StreamState.LIVE)


async def test_events_are_followed_by_their_ids() -> None:
    async with playing(three_and_silence) as stage:
        await stage.state(StreamState.LIVE)
        first = await stage.stream.news_after(0)
        assert [one.id for one in first] == list(range(1, len(first) + 1))
        waiting = asyncio.create_task(stage.stream.news_after(first[-1].id))
        await stage.stream.pause()
        async with asyncio.timeout(WAIT):
            assert [one.data["state"] for one in await waiting][-1] in ("paused", "stalled")


async def test_events_of_an_earlier_run_of_the_server_hide_none_of_this_one() -> None:
    async with playing(three_and_silence) as stage:
        await stage.state(StreamState.LIVE)
        assert await stage.stream.news_after(10**6) == await stage.stream.news_after(0)


async def test_a_pause_returns_once_the_source_is_closed() -> None:
    async with playing(three_and_silence) as stage:
        await stage.until(lambda: bool(stage.sources))
        await stage.stream.pause()
        assert stage.sources[0].closed


@pytest.mark.parametrize("state", [StreamState.BACKOFF, StreamState.LIVE])
async def test_a_pause_and_a_resume_at_once_leave_a_live_stream(state: StreamState) -> None:
    first = breaks if state is StreamState.BACKOFF else three_and_silence
    async with playing(first, three_and_silence, rules=PATIENT) as stage:
        await stage.state(state)
        async with asyncio.timeout(WAIT):
            await asyncio.gather(stage.stream.pause(), stage.stream.resume())
        assert stage.sources[0].closed
        await stage.state(StreamState.LIVE)
        assert len(stage.sources) == 2
        assert stage.stream.supervised.attempt == 0, "what the closed connection met is forgotten"


async def test_a_resume_and_a_pause_at_once_leave_a_paused_stream() -> None:
    async with playing(three_and_silence, rules=PATIENT) as stage:
        await stage.state(StreamState.LIVE)
        await stage.stream.pause()
        async with asyncio.timeout(WAIT):
            await asyncio.gather(stage.stream.resume(), stage.stream.pause())
        assert stage.stream.supervised.state is StreamState.PAUSED
        assert all(source.closed for source in stage.sources)


async def test_an_address_that_may_not_be_opened_any_more_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> Source:
        raise BadRequest("The server may not play this file.")

    monkeypatch.setattr(Stage, "open_source", refuse)
    async with playing(three_and_silence) as stage:
        await stage.state(StreamState.BACKOFF)
        assert stage.stream.supervised.detail == "The server may not play this file."


async def test_an_engine_that_is_busy_is_no_silent_camera() -> None:
    async def decodes_on(source: Scripted) -> AsyncIterator[Frame]:
        yield source.frame(0)
        while not source.closed:
            source.packet = source.decoded = source.clock()
            await asyncio.sleep(0.01)

    async with playing(decodes_on) as stage:
        await stage.state(StreamState.LIVE)
        await asyncio.sleep(3 * QUICK.stall)
        assert stage.states() == ["connecting", "live"]


async def test_a_full_server_is_why_a_camera_is_not_live() -> None:
    async with playing(three_and_silence, max_sessions=0) as stage:
        await stage.state(StreamState.BACKOFF)
        assert stage.stream.supervised.code == "no_capacity"
        assert "live" not in stage.states()


async def test_an_engine_that_dies_costs_a_stream_no_mask_and_no_memory() -> None:
    deaths = iter([False, False, True])

    def dies_once(_: object) -> None:
        if next(deaths, False):
            raise EngineDead("It died.")

    every = StreamDefinition("cam", "rtsp://host/path", policy=DropPolicy.EVERY, on_cut="keep")
    async with playing(three_and_silence, definition=every, on_step=dies_once) as stage:
        await stage.until(lambda: len(stage.masks) == 3)
        whole = unbroken(SPEC, [picture(number) for number in range(3)])
        for mask, expected in zip(stage.masks, whole, strict=True):
            assert np.array_equal(mask.labels, expected)
        assert stage.stream.status.resets == {}


async def test_a_stream_that_is_left_publishes_nothing_more() -> None:
    published = StreamDefinition("cam", "rtsp://host/path", publish="rtsp://127.0.0.1:1/cam")
    async with playing(three_and_silence, definition=published) as stage:
        publisher = stage.stream.publisher
        assert publisher is not None
        stage.stream.leave()
        await stage.until(lambda: len(stage.masks) == 3)
        assert publisher.status == PublishStatus()
        assert not any(one.name == "publish cam" for one in threading.enumerate())


async def test_frames_that_nobody_took_in_time_are_counted() -> None:
    async def loses(source: Scripted) -> AsyncIterator[Frame]:
        source.missed = 2
        yield source.frame(0)
        source.missed = 5
        yield source.frame(1)
        await asyncio.Event().wait()

    async with playing(loses) as stage:
        await stage.until(lambda: stage.stream.status.frames == 2)
        assert stage.stream.status.drops["overload"] == 5


async def test_decoders_that_hang_for_a_moment_only_delay_a_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts = iter([connector.MAX_ABANDONED] * 3)
    monkeypatch.setattr(connector, "abandoned_decoders", lambda: next(counts, 0))
    async with playing(three_and_silence) as stage:
        await stage.state(StreamState.LIVE)
        assert stage.states() == [*["connecting", "backoff"] * 3, "connecting", "live"]
