"""Packets as they arrive: a camera's only as long as its pictures arrive and are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import pytest

from server.errors import SourceSilent
from server.sources.demuxing import camera_time, demuxed, live_packets, packets

Film = Callable[..., Path]

VIDEO, SOUND = SimpleNamespace(), SimpleNamespace()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(time=100.0)
    monkeypatch.setattr("server.sources.demuxing.time.monotonic", lambda: now.time)
    return now


def container(clock: SimpleNamespace, *came: tuple[float, Any]) -> Any:
    """For each packet the seconds until it arrives, and its stream."""

    def demux() -> Iterator[Any]:
        for seconds, stream in came:
            clock.time += seconds
            yield SimpleNamespace(stream=stream)

    return SimpleNamespace(demux=demux)


def count(given: Any, timeout: float = 2.0, left: Callable[[], bool] = lambda: False) -> int:
    return sum(1 for _ in live_packets(given, VIDEO, timeout, left))  # type: ignore[arg-type]


def test_a_cameras_pictures_are_taken_and_its_sound_is_not(clock: SimpleNamespace) -> None:
    assert count(container(clock, *[(1.9, VIDEO), (0.05, SOUND)] * 5)) == 5


def test_what_a_parser_gives_up_after_the_time_limit_is_too_old(clock: SimpleNamespace) -> None:
    with pytest.raises(SourceSilent, match="sent nothing for 2 s"):
        count(container(clock, (0.1, VIDEO), (2.0, VIDEO)))


def test_sound_alone_is_no_sign_of_life(clock: SimpleNamespace) -> None:
    with pytest.raises(SourceSilent, match="only sound"):
        count(container(clock, (0.1, VIDEO), *[(0.5, SOUND)] * 4))


def test_nothing_is_read_for_one_who_has_left(clock: SimpleNamespace) -> None:
    answers = iter([False, False, True])
    assert count(container(clock, *[(0.1, VIDEO)] * 9), left=lambda: next(answers)) == 2


def test_a_file_gives_all_its_packets_and_then_flushes(film: Film) -> None:
    with av.open(film(frames=5)) as opened:
        stream = opened.streams.video[0]
        came = list(packets(opened, stream))
        assert [bool(packet and packet.size) for packet in came] == [True] * 5 + [False]
        assert all(packet is None or camera_time(packet) is None for packet in came)


def test_a_stream_that_begins_later_costs_no_packet_of_the_others() -> None:
    class Growing:
        """Fails as PyAV does at a packet of a stream that it does not know."""

        def __init__(self) -> None:
            self.left = [1, None, 2, None, None, 3]

        def demux(self, *_: object) -> Iterator[int]:
            while self.left:
                packet = self.left.pop(0)
                if packet is None:
                    raise IndexError("list index out of range")
                yield packet

    assert list(demuxed(Growing())) == [1, 2, 3]  # type: ignore[arg-type]
    assert list(packets(Growing(), None)) == [1, 2, 3]  # type: ignore[arg-type]
