"""A file that another server takes over: its masks are those of one that was never interrupted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from clips import make_clip

from models.spec import ModelSpec
from protocol import DropPolicy, MemoryState
from server.engines.fake import FakeEngine, fake_spec
from server.errors import BadVideo, EngineFault, SourceFault
from server.frame import AnyPixels, Frame, Mask, ResetCause
from server.sources.base import Source
from server.sources.container import ContainerSource
from server.streams.definition import StreamDefinition
from server.streams.film_progress import WAITING
from server.streams.place import Place, Takeover
from server.streams.pulled import PulledStream
from server.streams.pulled_services import PulledServices
from server.streams.states import Rules, StreamState
from server.workers.worker import Worker

pytestmark = pytest.mark.anyio

SPEC = fake_spec(48, 64, frames=3)
FILM = StreamDefinition("film", "file:///film.mp4", max_gap=600.0)
PATIENT = Rules(connect=600.0, stall=600.0, give_up=600.0, backoff=0.01)
WAIT = 30.0
HURRY = 20
"""By which factor a film is played faster than its own pace."""


@dataclass
class Played:
    """A stream, its masks, and its place after each of them."""

    stream: PulledStream
    masks: list[Mask] = field(default_factory=list)
    places: list[Place | None] = field(default_factory=list)
    starts: list[Fraction | None] = field(default_factory=list)

    @property
    def answers(self) -> list[tuple[int, Fraction | None, ResetCause | None, int, bytes]]:
        return [
            (one.frame.seq, one.frame.pts, one.reset, one.filled, one.labels.tobytes())
            for one in self.masks
        ]

    def news(self, kind: str) -> list[dict[str, Any]]:
        return [dict(one.data) for one in self.stream.measures.news if one.kind == kind]


def has_ended(played: Played) -> bool:
    return played.stream.supervised.state is StreamState.ENDED


@asynccontextmanager
async def playing(
    path: Path,
    definition: StreamDefinition = FILM,
    takeover: Takeover | None = None,
    on_step: Callable[[Sequence[AnyPixels]], None] | None = None,
) -> AsyncIterator[Played]:
    """Play a film, or what is left of it."""
    worker = Worker(lambda: FakeEngine(SPEC, on_step=on_step))
    await worker.start()
    starts: list[Fraction | None] = []

    def open_source(
        _: StreamDefinition, spec: ModelSpec, start: Fraction | None = None, /
    ) -> Source:
        starts.append(start)
        return ContainerSource(path, spec.height, spec.width, start=start)

    def clock() -> float:
        return asyncio.get_running_loop().time() * HURRY

    services = PulledServices(
        worker, open_source, PATIENT, clock, wall=lambda: 5.0, random=lambda: 0.0
    )
    played = Played(PulledStream(definition, services, takeover), starts=starts)
    stream = played.stream
    remember = stream.viewers._on_mask

    def on_mask(mask: Mask) -> None:
        remember(mask)
        played.masks.append(mask)
        played.places.append(stream.place)

    stream.viewers._on_mask = on_mask
    running = asyncio.create_task(stream.run())
    try:
        yield played
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await worker.stop()


async def reached(played: Played, until: Callable[[Played], bool]) -> None:
    async with asyncio.timeout(WAIT):
        while not until(played):  # noqa: ASYNC110  many things are waited for
            await asyncio.sleep(0.005)


async def play(
    path: Path,
    definition: StreamDefinition = FILM,
    takeover: Takeover | None = None,
    until: Callable[[Played], bool] = has_ended,
) -> Played:
    """Play a film, or what is left of it, until something is reached."""
    async with playing(path, definition, takeover) as played:
        await reached(played, until)
    return played


def scenes(path: Path, frames: Sequence[int], keys: int) -> Path:
    """Write a film of noisy scenes that are so many frames long, at 25 frames/s."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": str(keys), "crf": "12"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for scene, count in enumerate(frames):
            blocks = np.random.default_rng(scene).integers(0, 255, (6, 8, 3), np.uint8)
            for number in range(count):
                picture = np.kron(
                    np.roll(blocks, number // 4, axis=1), np.ones((8, 8, 1), np.uint8)
                )
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def taken_at(place: Place | None) -> Takeover:
    return Takeover("expired", 7, place)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    return scenes(tmp_path / "film.mp4", [30, 45, 80], keys=12)


@pytest.mark.parametrize(
    "definition",
    [
        FILM,
        replace(FILM, max_fps=10.0),
        replace(FILM, on_cut="keep"),
        replace(FILM, policy=DropPolicy.EVERY),
    ],
    ids=["as it is", "at a lower rate", "across scenes", "every frame"],
)
async def test_masks_equal_those_of_an_unbroken_stream(
    film: Path, definition: StreamDefinition
) -> None:
    unbroken = await play(film, definition)
    assert len(unbroken.masks) == (155 if definition.max_fps is None else 62)
    cuts = [one.frame.seq for one in unbroken.masks if one.reset is ResetCause.CUT]
    assert bool(cuts) is (definition.on_cut == "reset")
    count = len(unbroken.masks)
    places = {0, 1, 5, count // 2, count - 2, count - 1, *cuts, *(one - 1 for one in cuts)}
    for number in sorted(places):
        place = unbroken.places[number]
        after = await play(film, definition, taken_at(place))
        assert after.answers == unbroken.answers[number + 1 :], place
        assert after.stream.memory is MemoryState.REBUILT
        assert after.starts == [place.look if place else None]


async def test_followers_receive_the_news(film: Path) -> None:
    unbroken = await play(film)
    after = await play(film, FILM, taken_at(unbroken.places[99]))
    assert after.news("moved") == [{"cause": "expired", "memory": "rebuilt", "seq": 100, "at": 5.0}]
    assert unbroken.news("moved") == []
    assert after.stream.measures.news[0].id > unbroken.stream.measures.last_id


async def test_a_second_takeover_continues_the_first(film: Path) -> None:
    unbroken = await play(film)
    once = await play(
        film, FILM, taken_at(unbroken.places[99]), until=lambda played: len(played.masks) > 1
    )
    for place, first in zip(once.places[:2], (100, 101), strict=True):
        twice = await play(film, FILM, taken_at(place))
        assert twice.answers == unbroken.answers[first + 1 :]


async def test_before_its_first_mask_the_next_owner_gets_the_same_place(film: Path) -> None:
    place = (await play(film)).places[99]
    after = await play(film, FILM, taken_at(place), until=lambda _: True)
    assert after.stream.place == place


async def test_a_loop_continues_with_the_next_round(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "film.mp4", 20)
    looped = replace(FILM, loop=True)
    unbroken = await play(path, looped, until=lambda played: len(played.masks) >= 45)
    assert unbroken.masks[20].reset is ResetCause.CONNECTION
    for number in (4, 18, 19, 20, 25):
        place = unbroken.places[number]
        after = await play(
            path, looped, taken_at(place), until=lambda played: len(played.masks) >= 15
        )
        assert [one[2:] for one in after.answers[:15]] == [
            one[2:] for one in unbroken.answers[number + 1 : number + 16]
        ]
        assert after.masks[0].frame.seq == number + 1
        times = [one.frame.pts or 0 for one in (*unbroken.masks[: number + 1], *after.masks)]
        assert times == sorted(set(times))


async def test_where_the_memory_cannot_be_filled_it_begins_empty_and_says_so(film: Path) -> None:
    place = (await play(film, replace(FILM, on_cut="keep"))).places[99]
    assert place is not None
    for known in (replace(place, fills=False), replace(place, at=place.at + Fraction(1, 1000))):
        after = await play(film, FILM, taken_at(known))
        first = after.masks[0]
        assert (first.frame.seq, first.reset, first.filled) == (100, ResetCause.MOVED, 0)
        assert after.stream.memory is MemoryState.COLD
        assert after.news("moved")[0]["memory"] == "cold"
        assert after.news("reset")[0]["cause"] == "moved"
    assert len(after.masks) == 155 - 100


async def test_a_place_that_is_not_found_by_seeking_is_found_by_reading(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unbroken = await play(film)
    place = unbroken.places[99]
    whole, errors = ContainerSource.__anext__, [BadVideo("The file is away.")]

    async def fails_once(source: ContainerSource) -> Frame:
        if errors:
            raise errors.pop()
        return await whole(source)

    monkeypatch.setattr(ContainerSource, "__anext__", fails_once)
    after = await play(film, FILM, taken_at(place))
    assert after.answers == unbroken.answers[100:]
    assert place is not None and after.starts == [place.look, None]


async def test_a_file_that_became_shorter_plays_from_its_beginning(tmp_path: Path) -> None:
    place = (await play(make_clip(tmp_path / "film.mp4", 40))).places[35]
    shorter = make_clip(tmp_path / "short.mp4", 10)
    looped = replace(FILM, loop=True)
    after = await play(
        shorter, looped, taken_at(place), until=lambda played: len(played.masks) >= 10
    )
    assert (after.masks[0].frame.seq, after.masks[0].reset) == (36, ResetCause.MOVED)


def breaking_off(counts: list[int]) -> Callable[[ContainerSource], Awaitable[Frame]]:
    """Return a way to read in which the first connections break off after so many frames each."""
    whole, left = ContainerSource.__anext__, dict[ContainerSource, int]()

    async def read_next(source: ContainerSource) -> Frame:
        if source not in left:
            left[source] = counts.pop(0) if counts else 10**9
        if not left[source]:
            raise SourceFault("The file is away.")
        left[source] -= 1
        return await whole(source)

    return read_next


def shown_at(mask: Mask) -> Fraction:
    return mask.frame.pts or Fraction(0)


async def test_after_two_searches_a_file_plays_from_its_beginning_at_its_own_pace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = make_clip(tmp_path / "film.mp4", 12, ticks=[number * 1000 for number in range(12)])
    unbroken = await play(slow)
    place = unbroken.places[10]
    assert place is not None
    gone = replace(place, at=place.at + Fraction(1, 1000), look=Fraction(0))
    monkeypatch.setattr(ContainerSource, "__anext__", breaking_off([2, 2]))
    after = await play(slow, FILM, taken_at(gone))
    first = after.masks[0]
    assert (first.frame.seq, first.reset, first.filled) == (11, ResetCause.MOVED, 0)
    assert after.stream.memory is MemoryState.COLD
    (moved,) = after.news("moved")
    assert (moved["memory"], moved["seq"]) == ("cold", 11)
    assert [one.frame.seq for one in after.masks] == [*range(11, 23)]
    assert shown_at(first) > shown_at(unbroken.masks[10]), "times go on rising"
    pace = [shown_at(late) - shown_at(early) for early, late in pairwise(after.masks)]
    assert pace == [1] * 11
    for mask in after.masks:
        due = float(shown_at(mask) - shown_at(first))
        assert mask.frame.arrived - first.frame.arrived >= due, "nothing is shown before it is due"
    last = after.places[-1]
    assert last is not None and (last.sent, last.shift) == (22, shown_at(first))


async def test_a_file_that_breaks_off_while_the_memory_is_filled_is_read_again(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = replace(FILM, on_cut="keep")
    unbroken = await play(film, kept)
    place = unbroken.places[99]
    assert place is not None and place.warm_up == 3
    before = [one for one in unbroken.masks if place.look <= shown_at(one) < place.at]
    monkeypatch.setattr(ContainerSource, "__anext__", breaking_off([len(before) + 1]))
    after = await play(film, kept, taken_at(place))
    assert after.answers == unbroken.answers[100:]
    assert after.stream.memory is MemoryState.REBUILT
    assert after.starts == [place.look, None]


async def test_a_file_that_is_resumed_before_its_place_was_reached_says_that_it_begins_anew(
    film: Path,
) -> None:
    place = (await play(film)).places[99]
    assert place is not None
    async with playing(film, FILM, taken_at(place)) as after:
        await after.stream.pause()
        assert after.masks == []
        await after.stream.resume()
        assert after.stream.place is None
        await reached(after, lambda played: len(played.masks) >= 3)
    first = after.masks[0]
    assert (first.frame.seq, first.reset, first.filled) == (100, ResetCause.MOVED, 0)
    assert shown_at(first) > place.sent_at
    assert after.stream.memory is MemoryState.COLD
    assert after.starts[-1] is None


async def test_frames_of_which_none_succeeds_are_not_all_remembered(film: Path) -> None:
    fails = True

    def step(_: object) -> None:
        if fails:
            raise EngineFault("The step fails.")

    async with playing(film, FILM, on_step=step) as played:
        remembered = played.stream._intake._progress._waiting
        await reached(played, lambda one: one.stream.measures.drops["failed"] > 60)
        assert len(remembered) == WAITING
        fails = False
        await reached(played, has_ended)
        assert len(remembered) == 0
    last = played.places[-1]
    assert last is not None and last.sent == played.masks[-1].frame.seq


async def test_what_is_over_does_not_begin_anew_unless_it_is_resumed(film: Path) -> None:
    last = (await play(film)).places[-1]
    assert last is not None and last.sent == 154
    async with playing(film, FILM, taken_at(last)) as after:
        await reached(after, has_ended)
        assert after.masks == []
        await after.stream.resume()
        assert after.stream.place is None
        await reached(after, lambda played: bool(played.masks))
        assert after.masks[0].reset is not None


async def test_a_film_that_is_paused_has_no_place(film: Path) -> None:
    async with playing(film) as played:
        await reached(played, lambda one: len(one.masks) >= 5)
        await played.stream.pause()
        assert played.stream.place is None


async def test_a_camera_that_moved_begins_with_an_empty_memory_and_says_so(film: Path) -> None:
    camera = StreamDefinition("cam", "rtsp://host/path")
    after = await play(film, camera, taken_at(None), until=lambda played: len(played.masks) >= 3)
    assert [one.reset for one in after.masks[:3]] == [ResetCause.MOVED, None, None]
    assert after.stream.memory is MemoryState.COLD
    assert after.stream.place is None
    assert [one["memory"] for one in after.news("moved")] == ["cold"]


async def test_a_stream_that_was_added_is_new(film: Path) -> None:
    added = await play(film, until=lambda played: bool(played.masks))
    assert added.masks[0].reset is ResetCause.NEW
    assert added.stream.memory is MemoryState.NEW


@pytest.mark.parametrize("suffix", ["avi", "flv", "h264", "mkv", "mov", "mpg", "nut", "ts"])
async def test_masks_equal_those_of_an_unbroken_stream_whatever_the_container(
    tmp_path: Path, suffix: str
) -> None:
    path = scenes(tmp_path / f"film.{suffix}", [120], keys=12)
    unbroken = await play(path)
    place = unbroken.places[99]
    after = await play(path, FILM, taken_at(place))
    assert after.answers == unbroken.answers[100:]
    assert after.stream.memory is MemoryState.REBUILT
