"""The fixture ``rtsp_recorder``: RTSP servers that record what is published to them.

def test_x(rtsp_recorder):
    one = rtsp_recorder()       # listens when this returns
    publish(one.url)
    one.kill(); one.start()     # on the same port, into another file
    one.pictures()
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

import av
import pytest
from av.error import FFmpegError
from cameras import PACKAGES, PYTHON, missing

PROGRAM = Path(__file__).with_name("rtsp_recorder.py")


class RtspRecorder:
    """One server; ``file`` is what it records now, in Matroska."""

    def __init__(self, folder: Path, password: str = "") -> None:
        self._folder = folder
        self._password = password
        self._starts = 0
        self._port = 0
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self._port}/overlay"

    @property
    def file(self) -> Path:
        return self._folder / f"published{self._starts}.mkv"

    def start(self) -> None:
        """Listen; return once it does."""
        self._starts += 1
        options = {"file": str(self.file), "port": self._port, "password": self._password}
        self._process = subprocess.Popen(
            [PYTHON, str(PROGRAM), json.dumps(options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout
        self._port = int(self._process.stdout.readline())

    def suspend(self) -> None:
        """Stop reading and sending; connections stay open."""
        assert self._process
        self._process.send_signal(SIGSTOP)

    def kill(self) -> None:
        """End it at once. Idempotent."""
        if self._process is not None:
            assert self._process.stdout
            self._process.send_signal(SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process.stdout.close()
            self._process = None

    def pictures(self) -> list[av.VideoFrame]:
        """Return what has been recorded so far, decoded; empty if nothing can be read yet."""
        found: list[av.VideoFrame] = []
        with suppress(FFmpegError, IndexError), av.open(str(self.file)) as container:
            found.extend(container.decode(video=0))
        return found


@pytest.fixture
def rtsp_recorder(tmp_path: Path) -> Iterator[Callable[..., RtspRecorder]]:
    """Make recorders, which end with the test."""
    if why := missing():
        pytest.skip(f"no GStreamer RTSP server ({why}): apt-get install {PACKAGES}")
    made: list[RtspRecorder] = []

    def make(**options: Any) -> RtspRecorder:
        made.append(RtspRecorder(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.kill()
