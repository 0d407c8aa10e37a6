"""One connection: the report of its end, and what a watchdog can see of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from fractions import Fraction

import numpy as np
import pytest

from server.errors import SourceFault, SourceUnauthorized
from server.frame import Frame
from server.sources.base import Source
from server.streams.connection import Connection, Pace
from server.streams.states import Broken, Event, Finished

pytestmark = pytest.mark.anyio

END = Finished(is_file=False)


def frame(seq: int, pts: Fraction | None = None) -> Frame:
    return Frame(np.zeros((16, 16, 3), np.uint8), seq, pts=pts)


class Prepared(Source):
    """Yields some frames, then raises an error if there is one."""

    live = True
    packet: float | None = None
    decoded: float | None = None
    missed = 0
    closed = 0

    def __init__(self, frames: list[Frame], error: Exception | None = None) -> None:
        self._frames, self._error = frames, error

    @property
    def last_packet(self) -> float | None:
        return self.packet

    @property
    def last_frame(self) -> float | None:
        return self.decoded

    @property
    def lost(self) -> int:
        return self.missed

    async def __aiter__(self) -> AsyncIterator[Frame]:
        for one in self._frames:
            yield one
        if self._error:
            raise self._error

    async def aclose(self) -> None:
        self.closed += 1


async def read(source: Source) -> tuple[list[int], Event]:
    """Read a connection to its end; return the frames that were taken, and its report."""
    taken: list[int] = []
    ended: asyncio.Future[Event] = asyncio.get_running_loop().create_future()

    async def take(_: Connection, one: Frame) -> None:
        taken.append(one.seq)

    connection = Connection(1, source, lambda: 7.0)
    connection.begin(take, END, ended.set_result)
    async with asyncio.timeout(10):
        report = await ended
    await connection.close()
    return taken, report


@pytest.mark.parametrize(
    ("error", "report"),
    [
        (None, END),
        (SourceFault("It broke off."), Broken("source_fault", "It broke off.")),
        (
            SourceUnauthorized("Another password."),
            Broken("source_unauthorized", "Another password.", refused=True),
        ),
        (ValueError("a bug"), Broken("fault", "The server failed; its log says why.")),
    ],
)
async def test_the_end_is_reported_after_the_last_frame(
    error: Exception | None, report: Event
) -> None:
    assert await read(Prepared([frame(0), frame(1)], error)) == ([0, 1], report)


async def test_closing_is_idempotent_and_reports_nothing() -> None:
    source, reports = Prepared([frame(0)]), list[Event]()

    async def never(_: Connection, __: Frame) -> None:
        await asyncio.Event().wait()

    connection = Connection(1, source, lambda: 0.0)
    connection.begin(never, END, reports.append)
    await asyncio.sleep(0)
    await connection.close()
    await connection.close()
    assert reports == [] and source.closed == 2


async def test_a_watchdog_learns_what_came_and_what_was_decoded() -> None:
    now = 10.0
    source = Prepared([])
    connection = Connection(1, source, lambda: now)
    now = 14.0
    assert connection.overdue().silent == 4.0 and not connection.overdue().has_packets
    source.packet = 13.0
    assert connection.overdue().has_packets, "data that decodes to nothing"
    source.decoded = 13.5
    assert connection.overdue().silent == 0.5 and not connection.overdue().has_packets


async def test_a_film_is_not_late_while_its_next_picture_is_not_due() -> None:
    now = 10.0
    source = Prepared([frame(0, Fraction(0)), frame(1, Fraction(3600))])
    source.live = False
    connection = Connection(1, source, lambda: now)
    taken = asyncio.Event()

    async def take(_: Connection, __: Frame) -> None:
        taken.set()

    connection.begin(take, END, lambda _: None)
    await taken.wait()
    await asyncio.sleep(0)
    now = 60.0
    assert connection.overdue().silent == 0.0
    await connection.close()


async def test_losses_are_reported_once() -> None:
    source = Prepared([])
    connection = Connection(1, source, lambda: 0.0)
    source.missed = 3
    assert [connection.newly_lost(), connection.newly_lost()] == [3, 0]


def test_a_file_is_played_at_its_own_pace() -> None:
    pace = Pace()
    assert pace.wait(Fraction(5), 100.0) == 0.0
    assert pace.wait(Fraction(6), 100.25) == 0.75
    assert pace.wait(Fraction(7), 103.0) == 0.0, "late already"


@pytest.mark.parametrize("live", [False, True])
async def test_a_file_ends_once_its_frames_are_settled(live: bool) -> None:
    source, reports, settled = Prepared([frame(0)]), list[Event](), asyncio.Event()
    source.live = live
    taken = asyncio.Event()

    async def take(_: Connection, __: Frame) -> None:
        taken.set()

    async def wait() -> None:
        await settled.wait()

    connection = Connection(1, source, lambda: 0.0, settled=wait)
    connection.begin(take, END, reports.append)
    await taken.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    assert bool(reports) is live
    settled.set()
    async with asyncio.timeout(10):
        while not reports:  # noqa: ASYNC110
            await asyncio.sleep(0)
    await connection.close()


async def test_a_file_hurries_to_where_it_is_to_be_continued() -> None:
    source = Prepared([frame(number, Fraction(number, 25)) for number in range(300)])
    source.live = False
    waits: list[float] = []
    done = asyncio.Event()

    async def take(_: Connection, one: Frame) -> None:
        waits.append(asyncio.get_running_loop().time())
        if one.seq == 251:
            done.set()

    clock = asyncio.get_running_loop().time
    connection = Connection(1, source, clock, hurries=lambda at: at <= Fraction(249, 25))
    connection.begin(take, END, lambda _: None)
    async with asyncio.timeout(9):
        await done.wait()
    assert waits[251] - waits[250] >= 0.03, "at its own pace from there on"
    await connection.close()
