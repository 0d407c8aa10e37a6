"""Decoding in a sandbox: the same frames, and what a hostile decoder cannot do."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from hostile_tricks import WRITTEN
from living import children

from server.errors import BadVideo, MastreamError, SourceFault, UnsupportedMedia
from server.frame import Frame, Losses
from server.settings import DecodeSettings
from server.sources import open_sandbox
from server.sources.container import ContainerSource
from server.sources.cuts import read_cuts
from server.sources.decoding import Counts, Reading, Stretch, read_frames
from server.sources.sandbox.decoder import Sandbox, sandboxed_frames
from server.sources.sandbox.process import CHILD, Decoder
from server.sources.sandbox.system_calls import architecture

Film = Callable[..., Path]

pytestmark = pytest.mark.skipif(architecture() is None, reason="no sandbox on this machine")

ROOT = Path(__file__).parents[4]
CORPUS = sorted((ROOT / "tests" / "fuzz" / "corpus" / "container").iterdir())
HOSTILE = Sandbox(seconds=30.0, module="tests.support.hostile_decoder")

FORMATS = [
    ("a.mkv", "libx265", "yuv420p"), ("a.webm", "libvpx-vp9", "yuv420p"),
    ("b.webm", "libvpx", "yuv420p"), ("a.avi", "mjpeg", "yuvj420p"),
    ("a.mpg", "mpeg2video", "yuv420p"), ("a.mov", "prores_ks", "yuv422p10le"),
    ("b.mkv", "ffv1", "yuv420p"), ("a.gif", "gif", "rgb8"), ("a.ts", "libx264", "yuv420p"),
    ("a.h264", "libx264", "yuv420p"), ("av1.mkv", "libsvtav1", "yuv420p"),
]  # fmt: skip


def reading(path: Path, **changed: object) -> Reading:
    plain = Reading(
        location=path,
        height=24,
        width=40,
        keep_original=True,
        start=None,
        max_pixels=2**20,
        timeout=None,
        threads=1,
    )
    return replace(plain, **changed)  # type: ignore[arg-type]


def facts(frame: Frame) -> tuple[object, ...]:
    """All that must be equal; the seconds are measured and so differ."""
    pixels, original = np.asarray(frame.pixels), frame.original
    assert original is not None and frame.arrived > 0 and frame.wall is not None
    times = (frame.seq, frame.pts, frame.duration)
    flags = (frame.size, frame.damaged, frame.replay, frame.decoder)
    return times, flags, pixels.tobytes(), original.shape, original.tobytes()


def assert_equal(order: Reading) -> Counts:
    """Compare what is decoded here and in a sandbox; return the counts."""
    here, there = Counts(), Counts()
    expected = [facts(frame) for frame in read_frames(order, here)]
    assert [facts(frame) for frame in sandboxed_frames(Sandbox(), order, there)] == expected
    assert expected and there.tally.counted() == here.tally.counted()
    assert there.arrivals.packets == here.arrivals.packets
    assert there.arrivals.frames == here.arrivals.frames
    return there


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_the_same_frames_of_every_container(path: Path) -> None:
    assert_equal(reading(path))


@pytest.mark.parametrize(("name", "codec", "pixels"), FORMATS)
def test_the_same_frames_of_every_codec(film: Film, name: str, codec: str, pixels: str) -> None:
    assert_equal(reading(film(name, codec=codec, pix_fmt=pixels)))


def test_several_decoding_threads(film: Film) -> None:
    assert_equal(reading(film(frames=24, width=320, height=240), threads=4))


def test_a_part_from_a_key_frame_in_the_middle(film: Film) -> None:
    path = film(frames=24, options={"g": "8", "keyint_min": "8", "sc_threshold": "0"})
    key = next(key for key in read_cuts(path, None, 2**20).keys if key.number == 8)
    order = reading(path, stretch=Stretch(key, warm_up=10, first=12))
    assert_equal(order)
    frames = list(sandboxed_frames(Sandbox(), order))
    assert [(frame.seq, frame.replay) for frame in frames] == [
        (seq, seq < 12) for seq in range(10, 24)
    ]


def test_the_same_losses_of_a_damaged_video(film: Film) -> None:
    path = film(frames=24, options={"g": "4"}, width=320, height=240)
    data = bytearray(path.read_bytes())
    place = data.index(b"mdat") + 400
    data[place : place + 600] = bytes(600)
    path.write_bytes(data)
    counts = assert_equal(reading(path))
    assert counts.tally.losses(24) != Losses()


@pytest.mark.parametrize(
    ("data", "kind"), [(b"", BadVideo), (b"text\n" * 100, UnsupportedMedia), (None, SourceFault)]
)
def test_the_same_refusal(tmp_path: Path, data: bytes | None, kind: type[MastreamError]) -> None:
    path = tmp_path / "a.mp4"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(kind) as here:
        list(read_frames(reading(path)))
    with pytest.raises(kind) as there:
        list(sandboxed_frames(Sandbox(), reading(path)))
    assert str(there.value) == str(here.value)


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("connect", "system call that decoding never needs"),
        ("exec", "system call that decoding never needs"),
        ("fork", "system call that decoding never needs"),
        ("kill", "system call that decoding never needs"),
        ("open", r"\(PermissionError\): check the file"),
        ("write", "PermissionError"),
        ("die", "died"),
        ("size", "makes no sense"),
        ("nonsense", "makes no sense"),
        ("deep", "makes no sense"),
        ("flood", "makes no sense"),
        ("signs", "makes no sense"),
    ],
)
def test_what_a_hostile_decoder_cannot_do(film: Film, what: str, words: str) -> None:
    path = film(f"{what}.mp4")
    with pytest.raises(SourceFault, match=words):
        list(sandboxed_frames(HOSTILE, reading(path)))
    assert decoders() == [] and not WRITTEN.exists()


def test_a_memory_bomb_is_the_videos_fault(film: Film) -> None:
    with pytest.raises(BadVideo, match="The video needs more memory"):
        list(sandboxed_frames(HOSTILE, reading(film("memory.mp4"))))


def test_a_decoder_that_hangs_is_ended(film: Film) -> None:
    sandbox = replace(HOSTILE, seconds=3.0)
    with pytest.raises(SourceFault, match="no sign of life for 3 s"):
        list(sandboxed_frames(sandbox, reading(film("hang.mp4"))))
    assert decoders() == []


def test_a_reader_that_leaves_ends_a_decoder_that_hangs(film: Film) -> None:
    frames = sandboxed_frames(HOSTILE, reading(film("hang.mp4")), left=lambda: True)
    assert list(frames) == [] and decoders() == []


def test_a_decoder_that_is_killed_fails_only_its_own_video(film: Film) -> None:
    path = film(frames=24)
    killed = sandboxed_frames(Sandbox(), reading(path))
    next(killed)
    (child,) = decoders()
    other = sandboxed_frames(Sandbox(), reading(path))
    next(other)
    os.kill(child, signal.SIGKILL)
    with pytest.raises(SourceFault, match="died"):
        list(killed)
    assert len(list(other)) == 23


def test_a_decoder_that_never_reads_does_not_block_its_reader() -> None:
    child = object.__new__(Decoder)
    child._socket, theirs = socket.socketpair()
    with theirs, child._socket, pytest.raises(SourceFault, match="makes no sense"):
        for _ in range(10**6):
            child.release(0)


def test_many_in_turn_leave_nothing(film: Film) -> None:
    path = film(frames=24)
    open_before = descriptors()
    for number in range(8):
        frames = sandboxed_frames(Sandbox(), reading(path))
        assert len(list(islice(frames, 1 + number % 3))) == 1 + number % 3
        frames.close()
    assert decoders() == [] and descriptors() == open_before


def test_children_that_die_before_they_have_read_their_order_leave_nothing(film: Film) -> None:
    path, open_before = film(), descriptors()
    for _ in range(3):
        with pytest.raises(SourceFault, match="decoder died"):
            list(sandboxed_frames(Sandbox(module="no.module"), reading(path)))
    assert children("no.module") == [] and descriptors() == open_before


def test_it_dies_with_its_parent(film: Film) -> None:
    code = (
        "import sys, os; from pathlib import Path\n"
        "from tests.server.sources.sandbox.test_decoder import *\n"
        "frames = sandboxed_frames(HOSTILE, reading(Path(sys.argv[1])))\n"
        "import threading; threading.Thread(target=lambda: list(frames), daemon=True).start()\n"
        "while not decoders(): pass\n"
        "print(decoders()[0], flush=True); sys.stdin.read()\n"
    )
    command: Sequence[str] = (sys.executable, "-c", code, str(film("hang.mp4")))
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        watched = os.pidfd_open(child)
        parent.kill()
    assert signal_ended(watched)


@pytest.mark.anyio
async def test_a_source_decodes_in_the_sandbox(film: Film) -> None:
    path = film(frames=12)
    async with ContainerSource(path, 24, 40, total=12, sandbox=Sandbox()) as source:
        seen = [frame.seq async for frame in source]
    assert seen == list(range(12)) and source.losses() == Losses() and source.frames == 12


def test_the_setting() -> None:
    assert open_sandbox(DecodeSettings()) is None
    chosen = DecodeSettings(sandbox=True, sandbox_bytes=2**30, sandbox_seconds=5.0)
    assert open_sandbox(chosen) == Sandbox(2**30, 5.0)
    with pytest.raises(ValueError, match="A sandbox decodes on the CPU"):
        DecodeSettings(sandbox=True, device="gpu")
    with pytest.raises(ValueError, match="set MASTREAM_DECODE__SANDBOX to true"):
        DecodeSettings(sandbox_cameras=True)


def decoders() -> list[int]:
    """The decoders that this process has started and that have not ended."""
    return [pid for module in (CHILD, HOSTILE.module) for pid in children(module)]


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def signal_ended(process: int) -> bool:
    """Return whether the process of a pidfd ends within a while."""
    try:
        return bool(select.select([process], [], [], 30.0)[0])
    finally:
        os.close(process)
