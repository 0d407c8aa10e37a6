"""docker/stand-in: an image for each one that compose pulls, and an RTSP server that acts like
MediaMTX."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml
from ports import free_port

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker" / "stand-in"
LEFT_OUT = {"grafana"}
"""Images for which Debian has no equivalent."""
CONFIG = yaml.safe_load((ROOT / "docker/camera/mediamtx.yml").read_text())
TCP = {"rtsp_transport": "tcp"}


def test_each_image_that_compose_pulls_has_a_stand_in() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].values()
    pulled = {one["image"] for one in services if "build" not in one}
    names = {re.sub(r"^docker\.io/\w+/|:.*", "", image) for image in pulled}
    targets = re.findall(r"^FROM packages AS (\w+)$", (FOLDER / "Dockerfile").read_text(), re.M)
    assert set(targets) == names - LEFT_OUT


@contextmanager
def mediamtx(folder: Path, users: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the address of a server with the shipped configuration, but for its users and
    commands."""
    config, port = folder / "mediamtx.yml", str(free_port())
    config.write_text(
        yaml.safe_dump({"authInternalUsers": users, "paths": dict.fromkeys(CONFIG["paths"])})
    )
    process = subprocess.Popen([sys.executable, FOLDER / "mediamtx.py", config, port])
    try:
        while not listens(int(port)):
            assert process.poll() is None
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def publish(url: str, until: threading.Event) -> None:
    """Publish a picture over and over until the event is set."""
    picture = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")
    with av.open(url, "w", format="rtsp", options=TCP) as output:
        track = output.add_stream("libx264", rate=Fraction(25), options={"tune": "zerolatency"})
        track.width, track.height, track.pix_fmt, track.gop_size = 64, 48, "yuv420p", 5
        while not until.wait(0.01):
            output.mux(track.encode(picture))


def play(url: str, frames: int) -> int:
    """Return how many of ``frames`` pictures were decoded."""
    with av.open(url, options=TCP, timeout=5) as stream:
        return sum(1 for _, _ in zip(range(frames), stream.decode(video=0), strict=False))


def played(url: str) -> bool:
    try:
        return play(url, 5) == 5
    except av.HTTPNotFoundError:
        return False


@pytest.mark.parametrize(("login", "name"), [("", "camera"), ("mastream:mastream@", "overlay")])
def test_what_is_published_can_be_played(tmp_path: Path, login: str, name: str) -> None:
    ended = threading.Event()
    with mediamtx(tmp_path, CONFIG["authInternalUsers"]) as address:
        target = f"rtsp://{login}{address}/{name}"
        publishing = threading.Thread(target=publish, args=(target, ended))
        publishing.start()
        try:
            while not played(f"rtsp://{address}/{name}"):
                assert publishing.is_alive()
        finally:
            ended.set()
            publishing.join()


@pytest.mark.parametrize("login", ["", "mastream:wrong@"])
def test_only_the_server_publishes_the_overlay(tmp_path: Path, login: str) -> None:
    """Seen from other machines; on its own machine, everybody may publish."""
    users = [one for one in CONFIG["authInternalUsers"] if "ips" not in one]
    with mediamtx(tmp_path, users) as address, pytest.raises(av.HTTPUnauthorizedError):
        publish(f"rtsp://{login}{address}/overlay", threading.Event())
