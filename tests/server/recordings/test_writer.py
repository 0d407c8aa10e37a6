"""The writer: its bounds, and a disk that is slow, full or hangs."""

from __future__ import annotations

import logging
import threading
from functools import partial
from pathlib import Path

import pytest

from server.recordings.recording_file import MAGIC, encode, read
from server.recordings.records import Ending, Opening, Rebuilt, Record
from server.recordings.writer import Limits, Writer

FIRST = Opening(
    version="1", stream="", model={}, provider="fake", device="cpu", policy="every", began=0.0
)


def put(writer: Writer, record: Record, nbytes: int = 0) -> None:
    writer.put(partial(encode, record), nbytes)


def records(path: Path) -> list[Record]:
    return [block.record for block in read(path)]


def test_the_limit_of_bytes_is_kept(tmp_path: Path) -> None:
    path, limit = tmp_path / "a", 2000
    ended = threading.Event()
    writer = Writer(path, Limits(limit, 60.0), on_end=ended.set)
    put(writer, FIRST)
    for seq in range(100):
        put(writer, Rebuilt(seq=seq))
    writer.join(30)
    assert ended.is_set() and writer.ended == "bytes"
    *before, last = records(path)
    assert last == Ending(why="bytes")
    assert [one.seq for one in before if isinstance(one, Rebuilt)] == list(range(len(before) - 1))
    assert limit - 400 < path.stat().st_size <= limit


def test_the_limit_of_seconds_is_kept(tmp_path: Path) -> None:
    now = 100.0
    writer = Writer(tmp_path / "a", Limits(10**6, 60.0), clock=lambda: now)
    put(writer, FIRST)
    now = 159.9
    put(writer, Rebuilt(seq=1))
    now = 160.0
    put(writer, Rebuilt(seq=2))
    assert writer.ended == "seconds"
    writer.join(30)
    assert records(tmp_path / "a") == [FIRST, Rebuilt(seq=1), Ending(why="seconds")]


def test_a_stream_that_is_silent_ends_in_time_too(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a", Limits(10**6, 0.05))
    put(writer, FIRST)
    writer.join(30)
    assert records(tmp_path / "a")[-1] == Ending(why="seconds")


def test_a_slow_disk_ends_the_recording_and_holds_up_nothing(tmp_path: Path) -> None:
    may_write = threading.Event()
    writer = Writer(
        tmp_path / "a", Limits(10**6, 60.0, queue_bytes=100), prepare=lambda: may_write.wait(30)
    )
    put(writer, FIRST)
    for seq in range(9):
        put(writer, Rebuilt(seq=seq), nbytes=60)
    assert writer.ended == "slow_disk"
    assert 60 <= writer.waiting_bytes <= 100
    may_write.set()
    writer.join(30)
    assert writer.waiting_bytes == 0
    kept = records(tmp_path / "a")
    assert kept[-1] == Ending(why="slow_disk") and kept[:2] == [FIRST, Rebuilt(seq=0)]
    assert len(kept) <= 4


def test_a_disk_that_fails_ends_the_recording(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ended = threading.Event()
    writer = Writer(tmp_path / "none" / "a", Limits(10**6, 60.0), on_end=ended.set)
    with caplog.at_level(logging.WARNING):
        put(writer, FIRST)
        writer.join(30)
    assert ended.is_set() and writer.ended == "stopped"
    assert "the recording a ends: No such file or directory" in caplog.text
    put(writer, FIRST)
    assert "0 items" in repr(writer)


def test_what_cannot_be_built_ends_the_recording(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer(tmp_path / "a", Limits(10**6, 60.0))
    put(writer, FIRST)
    writer.put(lambda: b"x"[1:][0:0] + bytes([1 // 0]))
    writer.join(30)
    assert records(tmp_path / "a") == [FIRST]
    assert "ZeroDivisionError" in caplog.text


def test_ending_twice_keeps_the_first_reason(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a", Limits(10**6, 60.0))
    put(writer, FIRST)
    writer.end("closed")
    writer.end("stopped")
    writer.join(30)
    content = (tmp_path / "a").read_bytes()
    assert content == MAGIC + encode(FIRST) + encode(Ending(why="closed"))
