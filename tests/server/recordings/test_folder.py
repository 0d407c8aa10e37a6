"""The folder of recordings: what is kept, refused and removed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from protocol import DropCause, DropPolicy
from server.engines.fake import fake_spec
from server.engines.info import EngineInfo
from server.errors import BadRequest, Conflict, NoCapacity, NotFound
from server.frame import Dropped
from server.recordings.folder import Recordings
from server.recordings.recording import Recording
from server.settings import StreamSettings

ENGINE = EngineInfo(fake_spec(16, 16), "fake", 4)
A, B, C = ("a" * 32, "b" * 32, "c" * 32)


def recordings(folder: Path, **settings: Any) -> Recordings:
    given = {"record": True} | settings
    return Recordings(folder / "recordings", StreamSettings(**given), wall=lambda: 12.5)


def begin(kept: Recordings, name: str | None = None, stream: str = "") -> Recording:
    return kept.begin(ENGINE, stream=stream, policy=DropPolicy.EVERY, budget=0.2, name=name)


def finish(kept: Recordings, one: Recording) -> None:
    one.rebuilt(0)
    one.dropped([Dropped(1, DropCause.NEWER)])
    kept.close(30)


def test_a_server_that_does_not_record(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="MASTREAM_STREAMS__RECORD=true"):
        begin(recordings(tmp_path, record=False))
    assert recordings(tmp_path, record=False).all() == []


def test_they_are_listed_and_removed(tmp_path: Path) -> None:
    kept = recordings(tmp_path)
    finish(kept, begin(kept, A, "door"))
    (one,) = kept.all()
    assert (one.name, one.stream, one.began, one.recording) == (A, "door", 12.5, False)
    assert one.nbytes == kept.find(A).stat().st_size
    again = recordings(tmp_path)
    assert again.all() == [one]
    again.remove(A)
    assert again.all() == []
    with pytest.raises(NotFound):
        again.remove(A)


@pytest.mark.parametrize("name", ["", "..", "a", f"../{A}", A.upper(), f"{A}\n"])
def test_no_other_file_is_found(tmp_path: Path, name: str) -> None:
    kept = recordings(tmp_path)
    finish(kept, begin(kept, A))
    (tmp_path / f"{A}.mastream").touch()
    with pytest.raises(NotFound, match="There is no recording"):
        kept.find(name)


def test_what_is_written_waits_and_ends_is_counted(tmp_path: Path) -> None:
    written: list[int] = []
    ended: list[str] = []
    kept = Recordings(
        tmp_path / "recordings",
        StreamSettings(record=True),
        on_bytes=written.append,
        on_end=ended.append,
    )
    one = begin(kept, A)
    assert (kept.running, kept.waiting_bytes) == (1, 0)
    finish(kept, one)
    assert (kept.running, kept.waiting_bytes, ended) == (0, 0, ["stopped"])
    assert 0 < sum(written) < kept.find(A).stat().st_size


def test_one_that_is_written_is_not_removed(tmp_path: Path) -> None:
    kept = recordings(tmp_path)
    one = begin(kept, A)
    one.dropped([Dropped(1, DropCause.NEWER)])
    file = tmp_path / "recordings" / f"{A}.mastream"
    while not file.is_file():
        pass
    with pytest.raises(Conflict, match="still being written"):
        kept.remove(A)
    assert kept.all()[0].recording
    kept.close(30)
    assert one.ended == "stopped"
    kept.remove(A)


def test_no_more_are_written_than_fit(tmp_path: Path) -> None:
    kept = recordings(tmp_path, record_bytes=1000, record_total_bytes=2500)
    first, _ = begin(kept), begin(kept)
    with pytest.raises(NoCapacity, match="2 streams are being recorded already"):
        begin(kept)
    first.end()
    kept.close(30)
    begin(kept).end()
    kept.close(30)


def test_the_oldest_make_room(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for age, name in enumerate((A, B, C)):
        (folder / f"{name}.mastream").write_bytes(bytes(900))
        os.utime(folder / f"{name}.mastream", (age, age))
    (folder / "notes.txt").write_bytes(bytes(9000))
    kept = recordings(tmp_path, record_bytes=3000, record_total_bytes=5000)
    finish(kept, begin(kept))
    names = [one.name for one in kept.all()]
    assert names[1:] == [C, B] and len(names) == 3
    assert (folder / "notes.txt").exists()
    assert kept.all()[1].began is None
