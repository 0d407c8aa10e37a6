"""Cameras in the sandbox: the same pictures and errors as without it, and the limits of a hostile
decoder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from subprocess import DEVNULL, PIPE

import clock_picture
import numpy as np
import pytest
from cameras import Camera
from hostile_tricks import WRITTEN
from http_cameras import http_camera
from living import children, open_files, thread_names
from waiting import until

from server.dialling.dial import Guard
from server.errors import (
    SourceFault,
    SourceForbidden,
    SourceNotFound,
    SourceSilent,
    SourceUnauthorized,
    SourceUnreachable,
)
from server.frame import Frame
from server.security.addresses import address_rules
from server.sources.container import ContainerSource
from server.sources.decoding import Counts, Reading
from server.sources.sandbox.decoder import Sandbox, sandboxed_frames
from server.sources.sandbox.process import CHILD
from server.sources.sandbox.system_calls import architecture

MakeCamera = Callable[..., Camera]

pytestmark = pytest.mark.skipif(architecture() is None, reason="no sandbox on this machine")

HOME = Guard(address_rules(None, (), is_local=True))
HOSTILE = Sandbox(seconds=20.0, module="tests.support.hostile_decoder")


def reading(url: str, **changed: object) -> Reading:
    plain = Reading(
        location=url,
        height=60,
        width=80,
        keep_original=True,
        start=None,
        max_pixels=2**20,
        timeout=10.0,
        threads=1,
        late=None,
        guard=HOME,
    )
    return replace(plain, **changed)  # type: ignore[arg-type]


def some(url: str, number: int, sandbox: Sandbox | None = None) -> tuple[list[Frame], Counts]:
    """Read a number of frames from a camera."""
    counts = Counts()
    with closing(sandboxed_frames(sandbox or Sandbox(), reading(url), counts)) as frames:
        return list(islice(frames, number)), counts


def numbers(frames: list[Frame]) -> list[int]:
    taken = [clock_picture.read(np.asarray(frame.pixels)) for frame in frames]
    return [one.number for one in taken if one is not None]


def decoders() -> list[int]:
    return [pid for module in (CHILD, HOSTILE.module) for pid in children(module)]


def has_decoded(source: ContainerSource, frames: int) -> bool:
    return source.frames >= frames


@contextmanager
def nothing_left() -> Iterator[None]:
    """Wait until no thread or file is left; the decoder must have ended at once."""
    before = thread_names(), open_files()
    yield
    assert decoders() == []
    deadline = time.monotonic() + 10.0
    while (thread_names(), open_files()) != before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (thread_names(), open_files()) == before


@pytest.mark.parametrize("codec", ["h264", "hevc", "mjpeg"])
def test_every_picture_of_a_camera(camera: MakeCamera, codec: str) -> None:
    one = camera(codec=codec, fps=25)
    with nothing_left():
        frames, counts = some(one.url, 12)
    seen = numbers(frames)
    assert len(seen) == 12 and all(after - before == 1 for before, after in pairwise(seen))
    assert [frame.seq for frame in frames] == list(range(12))
    assert all(frame.original is not None and frame.size == (240, 320) for frame in frames)
    assert counts.arrivals.packets >= 12 and counts.arrivals.last_packet is not None


def test_a_camera_over_tls_that_asks_for_a_password(camera: MakeCamera, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed: apt-get install openssl")
    certificate = tmp_path / "camera.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=camera -keyout - -out -"
    made = subprocess.run(command.split(), stdout=PIPE, stderr=DEVNULL, check=True)
    certificate.write_bytes(made.stdout)
    one = camera(fps=25, auth="digest", certificate=str(certificate))
    with nothing_left():
        frames, _ = some(one.mount(0, "user:secret"), 6)
    assert len(numbers(frames)) == 6


def test_the_cameras_own_clock(camera: MakeCamera) -> None:
    with closing(sandboxed_frames(Sandbox(), reading(camera(fps=25).url))) as frames:
        clocks = (frame.camera_time for frame in frames)
        assert next(one for one in clocks if one is not None) > 1e9


@pytest.mark.parametrize("path", ["/mjpeg", "/flv", "/ts"])
def test_a_camera_over_http(path: str) -> None:
    with nothing_left(), http_camera(fps=25) as base:
        frames, _ = some(base + path, 6)
    assert len(numbers(frames)) == 6


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("exec", "system call that decoding never needs"),
        ("fork", "system call that decoding never needs"),
        ("kill", "system call that decoding never needs"),
        ("connect", "PermissionError"),
        ("open", r"\(PermissionError\): check the camera"),
        ("write", "PermissionError"),
        ("die", "camera's decoder died"),
        ("nonsense", "makes no sense"),
        ("signs", "makes no sense"),
        ("memory", "camera's pictures need more memory"),
    ],
)
def test_what_a_hostile_decoder_cannot_do(camera: MakeCamera, what: str, words: str) -> None:
    url = camera(fps=25).mount(0, f"{what}:x")
    with nothing_left(), pytest.raises(SourceFault, match=words):
        some(url, 2, HOSTILE)
    assert not WRITTEN.exists()


def test_a_decoder_that_hangs_is_ended(camera: MakeCamera) -> None:
    url = camera(fps=25).mount(0, "hang:x")
    order = reading(url, timeout=1.0)
    with nothing_left(), pytest.raises(SourceFault, match="no sign of life for 3 s"):
        list(sandboxed_frames(replace(HOSTILE, seconds=2.0), order))


def test_a_decoder_that_is_killed_is_a_fault(camera: MakeCamera) -> None:
    with closing(sandboxed_frames(Sandbox(), reading(camera(fps=25).url))) as frames:
        next(frames)
        (child,) = decoders()
        os.kill(child, signal.SIGKILL)
        with pytest.raises(SourceFault, match="camera's decoder died"):
            list(frames)


def test_a_reader_that_leaves_ends_the_decoder_of_a_silent_camera() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, nothing_left():
        url = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/cam"
        assert list(sandboxed_frames(Sandbox(), reading(url), left=lambda: True)) == []


def test_a_camera_that_is_not_there_starts_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.sources.sandbox.process._start", None)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with nothing_left(), pytest.raises(SourceUnreachable, match="refused"):
        some(f"rtsp://127.0.0.1:{port}/cam", 1)


def test_a_camera_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtsp://127.0.0.1:{silent.getsockname()[1]}/cam"
        with nothing_left(), pytest.raises(SourceSilent):
            list(sandboxed_frames(Sandbox(), reading(url, timeout=1.0)))


def test_a_wrong_password_and_a_wrong_path(camera: MakeCamera) -> None:
    guarded = camera(auth="digest")
    with pytest.raises(SourceUnauthorized):
        some(guarded.mount(0, "user:wrong"), 1)
    with pytest.raises(SourceNotFound):
        some(camera().mount(7), 1)


def test_what_needs_several_connections_is_named() -> None:
    with nothing_left(), http_camera(fps=25, password="me:secret") as base:
        url = base.replace("http://", "http://me:secret@") + "/mjpeg"
        with pytest.raises(SourceFault, match="several connections"):
            some(url, 1)


@pytest.mark.parametrize("url", ["udp://127.0.0.1:9", "tcp://127.0.0.1:9"])
def test_other_schemes_are_refused(url: str) -> None:
    with pytest.raises(SourceForbidden, match="cannot check where"):
        some(url, 1)


@pytest.mark.anyio
async def test_a_source_drops_the_oldest_pictures_of_a_reader_that_is_slow(
    camera: MakeCamera,
) -> None:
    url = camera(fps=50).url
    source = ContainerSource(
        url, 60, 80, live=True, capacity=2, guard=HOME, sandbox=Sandbox(), late=None
    )
    async with source:
        seen = [await anext(source)]
        while source.lost < 20:
            await anext(source)
            await until(partial(has_decoded, source, source.frames + 10))
            seen.append(await anext(source))
    order = [frame.seq for frame in seen]
    assert order == sorted(order) and order[-1] > len(order)
