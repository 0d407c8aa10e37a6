"""Commands in separate processes, stopped by a signal to them or to their whole group."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import httpx
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@contextmanager
def mastream(*argv: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """``mastream ARGV`` as the leader of its own process group."""
    process = subprocess.Popen(
        [sys.executable, "-m", "clients.python.cli", *argv],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    guard = threading.Timer(120, process.kill)
    guard.start()
    try:
        yield process
    finally:
        guard.cancel()
        process.kill()
        process.communicate()


def until(process: subprocess.Popen[str], reached: Callable[[], Any]) -> None:
    while not reached():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """200 grey frames of 64x48, 25 per second."""
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(200):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 99, np.uint8), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("send", [os.kill, os.killpg])
@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_segment_here_is_one_process_that_leaves_nothing(
    number: signal.Signals, code: int, send: Callable[[int, int], None], clip: Path, tmp_path: Path
) -> None:
    out = tmp_path / "a" / "out"
    argv = ["segment", str(clip), "-o", str(out), "--engine", "fake"]
    with mastream(*argv, MASTREAM_ENGINE__FAKE_STEP_MS="50") as process:
        until(process, lambda: list(out.glob(".segmenting-*/**/*.part")))
        send(process.pid, number)
        assert process.communicate() == ("", "mastream: Interrupted; nothing was kept.\n")
        assert process.returncode == code
        with pytest.raises(ProcessLookupError):
            os.killpg(process.pid, 0)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_segment_on_a_server_cancels_it_there_and_leaves_nothing(
    number: signal.Signals,
    code: int,
    run_server: Any,
    clip: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    with (
        run_server(engine__fake_step_ms="50", videos__min_free_bytes="1000") as server,
        mastream("segment", str(clip), "-o", str(out), "--url", server.http) as process,
    ):
        videos = f"{server.http}/v1/videos"

        def states() -> list[str]:
            return [video["state"] for video in httpx.get(videos).json()["videos"]]

        until(process, lambda: "running" in states())
        process.send_signal(number)
        _, told = process.communicate()
        assert (process.returncode, told) == (code, "mastream: Interrupted.\n")
        while "running" in (left := states()):
            time.sleep(0.01)
        assert left in ([], ["cancelled"])
    assert not out.exists()


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_stream_closes_its_overlay_and_sums_up(
    number: signal.Signals, code: int, server: Any, clip: Path, tmp_path: Path
) -> None:
    overlay, before = tmp_path / "overlay.mp4", frames_of(server)
    argv = ["stream", str(clip), "--rate", "5", "--url", server.http, "--overlay", str(overlay)]
    with mastream(*argv) as process:
        part = tmp_path / ".overlay.part.mp4"
        until(process, part.exists)
        until(process, lambda: frames_of(server) > before + 3)
        process.send_signal(number)
        out, told = process.communicate()
    assert (process.returncode, told) == (code, "mastream: Interrupted.\n")
    assert " masks in " in out
    assert not part.exists()
    with av.open(str(overlay)) as container:
        assert next(container.decode(video=0)).width == 64


def frames_of(server: Any) -> float:
    lines = httpx.get(f"{server.http}/metrics").text.splitlines()
    return sum(
        float(line.split()[-1]) for line in lines if line.startswith("mastream_frames_total")
    )


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_load_shows_what_it_has_measured(
    number: signal.Signals, code: int, server: Any, tmp_path: Path
) -> None:
    out, before = tmp_path / "load.json", frames_of(server)
    argv = ["load", "-n", "2", "--rate", "20", "--seconds", "600", "--picture", "64x48"]
    with mastream(*argv, "--url", server.http, "--json", str(out)) as process:
        until(process, lambda: frames_of(server) > before + 10)
        process.send_signal(number)
        shown, told = process.communicate()
    assert process.returncode == code
    assert told.splitlines()[-1] == "mastream: Interrupted."
    assert "(interrupted)" in shown and "round trip" in shown
    assert json.loads(out.read_text())["frames"]["masks"] > 0


def test_serve_is_one_process_that_drains(tmp_path: Path) -> None:
    argv = ["serve", "--engine", "fake", "--port", "0", "--data", str(tmp_path)]
    with mastream(*argv) as process:
        assert process.stdout
        assert process.stdout.readline().startswith("mastream is ready at ")
        process.send_signal(signal.SIGTERM)
        process.communicate()
    assert process.returncode == 0
