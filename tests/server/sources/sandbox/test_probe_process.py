"""Probing with limits of memory and time: possible answers and failures."""

from __future__ import annotations

import os
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hostile_tricks import WRITTEN
from living import children, open_files

from server.errors import (
    BadVideo,
    Draining,
    Fault,
    MastreamError,
    SourceFault,
    TooLarge,
    UnsupportedMedia,
)
from server.sources.cuts import KeyFrame, read_cuts
from server.sources.probing import VideoLimits, probe
from server.sources.sandbox.probe_process import Prober
from server.sources.sandbox.system_calls import architecture

Film = Callable[..., Path]

linux = pytest.mark.skipif(architecture() is None, reason="no sandbox on this machine")

MEMORY, SECONDS = 2**29, 20.0
LIMITS = VideoLimits()


@contextmanager
def prober(memory: int = MEMORY, seconds: float | None = SECONDS, **how: Any) -> Iterator[Prober]:
    made = Prober(memory, seconds, **how)
    try:
        yield made
    finally:
        made.close()


def box(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", len(data) + 8, name) + data


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    while data:
        size, name = struct.unpack_from(">I4s", data)
        yield name, data[8:size]
        data = data[size:]


def claiming(film: Path, samples: int, tracks: int = 1, honest: int = 0) -> Path:
    """An MP4 whose tracks claim this many samples of one byte, after ``honest`` ones that do
    not."""
    tables = {
        b"stsz": struct.pack(">III", 0, 1, samples),
        b"stts": struct.pack(">IIII", 0, 1, samples, 1),
        b"stsc": struct.pack(">IIIII", 0, 1, 1, samples, 1),
    }

    def rewritten(data: bytes) -> bytes:
        whole = b""
        for name, inside in boxes(data):
            if name in (b"trak", b"mdia", b"minf", b"stbl"):
                whole += box(name, rewritten(inside))
            elif name not in (b"edts", b"stss", b"ctts", b"sdtp", b"sgpd", b"sbgp", b"udta"):
                whole += box(name, tables.get(name, inside))
        return whole

    parts = dict(boxes(film.read_bytes()))
    inside = dict(boxes(parts[b"moov"]))
    lies = box(b"trak", rewritten(inside[b"trak"])) * tracks
    moov = box(b"mvhd", inside[b"mvhd"]) + box(b"trak", inside[b"trak"]) * honest + lies
    path = film.with_name("claims.mp4")
    path.write_bytes(
        b"".join(box(name, moov if name == b"moov" else data) for name, data in parts.items())
    )
    return path


def test_a_child_finds_what_a_call_finds(film: Film) -> None:
    path = film(configure=lambda stream: stream.set_display_rotation(90))
    with prober() as probed:
        assert [probed(path, LIMITS) for _ in range(3)] == [probe(path, LIMITS)] * 3


@pytest.mark.parametrize(
    ("data", "limits", "kind"),
    [
        (b"", LIMITS, BadVideo),
        (b"text\n" * 100, LIMITS, UnsupportedMedia),
        (None, VideoLimits(max_bytes=10), TooLarge),
        (None, VideoLimits(max_frames=2), BadVideo),
    ],
)
def test_a_refusal_comes_back_as_what_it_is(
    film: Film, data: bytes | None, limits: VideoLimits, kind: type[MastreamError]
) -> None:
    path = film()
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(kind) as here:
        probe(path, limits)
    with prober() as probed, pytest.raises(kind) as there:
        probed(path, limits)
    assert (type(there.value), str(there.value)) == (type(here.value), str(here.value))


def test_a_file_that_is_gone_is_no_fault_of_the_video(tmp_path: Path) -> None:
    with prober() as probed, pytest.raises(SourceFault):
        probed(tmp_path / "none.mp4", LIMITS)


@pytest.mark.parametrize(
    ("samples", "tracks", "honest"),
    [(40_000_000, 1, 0), (10_000_000, 1, 0), (5_000_000, 20, 0), (100_000_000, 1, 1)],
)
def test_samples_that_are_only_claimed_are_refused_within_the_memory(
    film: Film, samples: int, tracks: int, honest: int
) -> None:
    path = claiming(film(), samples, tracks, honest)
    with prober() as probed, pytest.raises(BadVideo):
        probed(path, LIMITS)


def test_memory_that_is_not_there_is_the_videos_fault(film: Film) -> None:
    with prober(memory=2**20) as probed, pytest.raises(BadVideo):
        probed(film(width=1920, height=1080), LIMITS)


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    pipe = tmp_path / "endless"
    os.mkfifo(pipe)
    with prober(seconds=0.2) as probed, pytest.raises(BadVideo, match=r"limit of 512 MiB or 0.2 s"):
        probed(pipe, LIMITS)


def test_many_at_once(film: Film) -> None:
    paths = [film(f"{frames}.mp4", frames=frames) for frames in range(1, 9)]
    with prober() as probed, ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda path: probed(path, LIMITS).frames, paths * 4))
    assert found == [*range(1, 9)] * 4


def test_one_that_died_is_begun_anew(film: Film) -> None:
    path = film()
    with prober() as probed:
        assert probed(path, LIMITS).frames == 6
        os.kill(children("probe_child")[0], signal.SIGKILL)
        assert probed(path, LIMITS).frames == 6
        assert len(children("probe_child")) == 1
    assert children("probe_child") == []


@linux
def test_children_that_die_before_they_have_read_their_order_leave_nothing(film: Film) -> None:
    path = film()
    more_than_a_pipe_holds = 9000
    keys = [KeyFrame(one, one, one, Fraction(one)) for one in range(more_than_a_pipe_holds)]
    with prober(module="tests.support.dying_prober") as probed:
        with pytest.raises(BadVideo, match="damaged"):
            probed(path, LIMITS)
        (forks,) = children("dying_prober")
        before = open_files()
        for _ in range(5):
            with pytest.raises(BadVideo, match="damaged"):
                probed.can_seek(path, keys, 2**20)
        assert open_files() == before
        assert children("dying_prober") == [forks]
        until_it_has_nothing(forks)
    assert children("dying_prober") == []


@linux
def test_children_that_have_answered_leave_nothing(film: Film) -> None:
    path = film()
    with prober() as probed:
        probed(path, LIMITS)
        (forks,) = children("probe_child")
        before = open_files()
        for _ in range(5):
            probed(path, LIMITS)
        assert open_files() == before
        until_it_has_nothing(forks)


def until_it_has_nothing(forks: int) -> None:
    """Wait until a process that forks has no child, zombies included, and no pipe of one."""
    deadline = time.monotonic() + 30.0
    while offspring(forks) or len(list(Path(f"/proc/{forks}/fd").iterdir())) > 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def offspring(process: int) -> str:
    return Path(f"/proc/{process}/task/{process}/children").read_text()


def test_a_process_that_cannot_be_started_leaves_nothing(
    film: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = film()

    def none_is_left(*_: Any, **__: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("server.sources.sandbox.probe_process.subprocess.Popen", none_is_left)
    before = open_files()
    with prober() as probed:
        for _ in range(3):
            with pytest.raises(Fault, match="No process can be started"):
                probed(path, LIMITS)
    assert open_files() == before


def test_too_many_open_files_are_no_fault_of_the_video_and_leave_nothing(
    film: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, made = film(), list[int]()
    whole = os.pipe

    def the_second_fails() -> tuple[int, int]:
        made.append(1)
        if len(made) % 2 == 0:
            raise OSError(24, "Too many open files")
        return whole()

    with prober() as probed:
        probed(path, LIMITS)
        before = open_files()
        with monkeypatch.context() as patch:
            patch.setattr("server.sources.sandbox.pipe.os.pipe", the_second_fails)
            for _ in range(3):
                with pytest.raises(Fault, match="Too many open files"):
                    probed(path, LIMITS)
        assert open_files() == before and len(made) == 6
        assert probed(path, LIMITS).frames == 6


def test_closing_ends_what_is_at_work(tmp_path: Path) -> None:
    pipe = tmp_path / "endless"
    os.mkfifo(pipe)
    probed = Prober(MEMORY, None)
    refused: list[BaseException] = []

    def wait() -> None:
        try:
            probed(pipe, LIMITS)
        except MastreamError as error:
            refused.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    with pipe.open("wb"):  # returns once the child has opened the other end
        probed.close()
        thread.join()
    assert [type(error) for error in refused] == [Draining]
    assert children("probe_child") == []
    with pytest.raises(Draining):
        probed(pipe, LIMITS)


KEYS = {"options": {"g": "4", "keyint_min": "4", "sc_threshold": "0"}}
CORPUS = sorted((Path(__file__).parents[3] / "fuzz" / "corpus" / "container").iterdir())

HOSTILE = {"sandboxed": True, "module": "tests.support.hostile_prober"}


@pytest.mark.parametrize("sandboxed", [False, True])
def test_a_child_finds_the_cuts_that_a_call_finds(film: Film, sandboxed: bool) -> None:
    path = film(frames=12, **KEYS)
    with prober(sandboxed=sandboxed) as probed:
        cuts = probed.cuts(path, None, 2**20)
        assert cuts == read_cuts(path, None, 2**20) and len(cuts.keys) == 3
        assert probed.can_seek(path, cuts.keys, 2**20)
        missing = replace(cuts.keys[1], pts=cuts.keys[1].pts + 1)
        assert not probed.can_seek(path, [missing], 2**20)


@linux
def test_in_the_sandbox_every_container_is_described_as_outside() -> None:
    with prober(sandboxed=True) as probed:
        for path in CORPUS:
            assert probed(path, LIMITS) == probe(path, LIMITS), path.name
            assert probed.cuts(path, None, 2**20) == read_cuts(path, None, 2**20), path.name


@linux
@pytest.mark.parametrize("data", [b"", b"text\n" * 100, None])
def test_in_the_sandbox_a_refusal_is_the_same(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "a.mp4"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(MastreamError) as here:
        probe(path, LIMITS)
    with prober(sandboxed=True) as probed, pytest.raises(type(here.value)) as there:
        probed(path, LIMITS)
    assert str(there.value) == str(here.value)


@linux
@pytest.mark.parametrize("what", ["connect", "exec", "fork", "kill"])
def test_what_kills_a_hostile_child_fails_its_own_video_only(film: Film, what: str) -> None:
    path, other = film(f"{what}.mp4"), film("good.mp4")
    with prober(**HOSTILE) as probed:
        for ask in (
            lambda: probed(path, LIMITS),
            lambda: probed.cuts(path, None, 2**20),
            lambda: probed.can_seek(path, [], 2**20),
        ):
            with pytest.raises(BadVideo, match="damaged"):
                ask()
        assert probed(other, LIMITS).frames == 6
        assert len(children("hostile_prober")) == 1


@linux
@pytest.mark.parametrize(
    ("what", "words"),
    [("open", "PermissionError"), ("write", "PermissionError"), ("overhear", "OSError")],
)
def test_what_a_hostile_child_is_denied(film: Film, what: str, words: str) -> None:
    with prober(**HOSTILE) as probed, pytest.raises(SourceFault, match=words):
        probed(film(f"{what}.mp4"), LIMITS)
    assert not WRITTEN.exists()


@linux
def test_a_hostile_child_that_ignores_its_end_is_killed(
    film: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.sources.sandbox.probe_answer.GRACE_SECONDS", 0.1)
    with prober(seconds=1.0, **HOSTILE) as probed:
        with pytest.raises(BadVideo, match="exceeds the limit"):
            probed(film("hang.mp4"), LIMITS)
        (forks,) = children("hostile_prober")
        until_it_has_nothing(forks)


def test_the_process_has_no_passwords(film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTREAM_SECURITY__SECRET", "hidden")
    with prober() as probed:
        probed(film(), LIMITS)
        (forks,) = children("probe_child")
        assert b"hidden" not in Path(f"/proc/{forks}/environ").read_bytes()
