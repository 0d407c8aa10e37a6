"""The fixture ``camera``: real RTSP cameras, each a process of the system's Python.

    async def test_x(camera):
        one = camera(codec="hevc", fps=10)     # listens when this returns
        one.url                                # rtsp://127.0.0.1:PORT/cam0
        one.freeze(); one.kill(); one.start(width=640, height=480)

Tests are skipped, with the reason, if GStreamer's RTSP server is not installed.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

import pytest

PROGRAM = Path(__file__).with_name("rtsp_camera.py")
SHARED = Path(__file__).with_name("shared_camera.py")
PYTHON = "/usr/bin/python3"
PACKAGES = "python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-{base,good,bad,ugly}"

_NEEDED = """
import gi
gi.require_version("GstRtspServer", "1.0")
from gi.repository import Gst, GstRtspServer
Gst.init(None)
for name in "appsrc x264enc x265enc jpegenc h264parse h265parse rtph264pay".split():
    assert Gst.ElementFactory.find(name), name
"""


class Camera:
    """One camera on its own loopback port, which it keeps when it is started again.

    Keyword arguments are the fields of ``rtsp_camera.Options``; ``program`` may be SHARED, which
    accepts no commands.
    """

    def __init__(self, program: Path = PROGRAM, **options: Any) -> None:
        self._program = program
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self.start()

    @property
    def port(self) -> int:
        port = self._options["port"]
        assert isinstance(port, int)
        return port

    @property
    def url(self) -> str:
        """The first mount, without credentials."""
        return self.mount(0)

    def mount(self, number: int, credentials: str = "", port: int | None = None) -> str:
        """Return the URL of a mount; ``credentials`` are "user:password"."""
        scheme = "rtsps" if self._options.get("certificate") else "rtsp"
        at = f"{credentials}@" if credentials else ""
        return f"{scheme}://{at}127.0.0.1:{port or self.port}/cam{number}"

    def start(self, **changes: Any) -> None:
        """Start it, with new options if any are given; return once it listens."""
        assert self._process is None, "it runs already"
        self._options.update(changes)
        self._process = subprocess.Popen(
            [PYTHON, str(self._program), json.dumps(self._options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        line = self._read()
        assert line, "the camera did not start"
        self._options["port"] = int(line)

    def freeze(self, frozen: bool = True) -> None:
        """Stop taking pictures but keep every connection; or continue."""
        self._tell(freeze=frozen)

    def resize(self, width: int, height: int) -> None:
        """Change the size of the pictures in mid-stream."""
        self._tell(size=[width, height])

    def send_key_frames(self, sends: bool) -> None:
        self._tell(keyless=not sends)

    def suspend(self) -> None:
        """Stop the process: its connections stay open, new ones are accepted by the kernel, and it
        sends nothing."""
        os.kill(self._running().pid, SIGSTOP)

    def resume(self) -> None:
        os.kill(self._running().pid, SIGCONT)

    def kill(self) -> None:
        """End it at once, as a power cut does; its connections are reset. Idempotent."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):
                pipe.close()
        self._process = None

    def _tell(self, **what: Any) -> None:
        pipe = self._running().stdin
        assert pipe is not None
        print(json.dumps(what), file=pipe, flush=True)
        assert self._read() == "done\n"

    def _read(self) -> str:
        pipe = self._running().stdout
        assert pipe is not None
        return pipe.readline()

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "it does not run"
        return self._process


@cache
def missing() -> str | None:
    """Return why this machine cannot run cameras, None if it can."""
    if not Path(PYTHON).exists():
        return f"no {PYTHON}"
    tried = subprocess.run(
        [PYTHON, "-c", _NEEDED], check=False, capture_output=True, text=True, timeout=60
    )
    return (tried.stderr.strip().splitlines() or ["it fails"])[-1] if tried.returncode else None


@pytest.fixture
def camera() -> Iterator[Callable[..., Camera]]:
    """Make cameras, which end with the test."""
    if why := missing():
        pytest.skip(f"no GStreamer RTSP server ({why}): apt-get install {PACKAGES}")
    made: list[Camera] = []

    def make(**options: Any) -> Camera:
        made.append(Camera(**options))
        return made[-1]

    yield make
    for one in made:
        one.kill()
