"""docker/haproxy/haproxy.cfg in a real HAProxy, in front of real servers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from clips import make_clip
from numpy.typing import NDArray
from ports import free_port
from server_process import RunningServer, server_process

from clients.python import Backoff, connect

HAPROXY = shutil.which("haproxy")
CONFIG = Path(__file__).parents[2] / "docker" / "haproxy" / "haproxy.cfg"
PATIENCE = 30.0
FRAMES = 60
QUICK = Backoff(first=0.05, longest=0.5, give_up=60.0)

Picture = NDArray[np.uint8]
Two = tuple[RunningServer, RunningServer]

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(HAPROXY is None, reason="HAProxy is not installed: apt-get install haproxy"),
]


@contextmanager
def entry(folder: Path, *servers: RunningServer | str) -> Iterator[str]:
    """Yield the address of a HAProxy with the shipped configuration, DNS replaced by addresses."""
    port = free_port()
    lines = [f"    server node{n} {getattr(one, 'address', one)}" for n, one in enumerate(servers)]
    text = re.sub(r"^ +server-template .*$", "\n".join(lines), CONFIG.read_text(), flags=re.M)
    path = folder / "haproxy.cfg"
    path.write_text(text)
    environment = {"MASTREAM_ENTRY": f"127.0.0.1:{port}"}
    assert HAPROXY
    process = subprocess.Popen(
        [HAPROXY, "-db", "-f", str(path)],
        env=os.environ | environment,
    )
    try:
        until(lambda: process.poll() is None and ready(f"127.0.0.1:{port}"))
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def ready(address: str) -> bool:
    with suppress(OSError), urllib.request.urlopen(f"http://{address}/health/ready") as answer:
        return bool(answer.status == 200)
    return False


def sessions(server: RunningServer) -> int:
    with urllib.request.urlopen(f"{server.http}/v1/capacity") as answer:
        return int(json.load(answer)["limits"]["sessions"]["used"])


async def pictures(at: Callable[[int], object] = lambda _: None) -> AsyncIterator[Picture]:
    """Frames that differ; ``at`` is called with the number of each."""
    for number in range(FRAMES):
        await asyncio.to_thread(at, number)
        yield np.random.default_rng(number).integers(0, 255, (72, 96, 3), np.uint8)


async def segmented(address: str, at: Callable[[int], object] = lambda _: None) -> list[bytes]:
    """Return the masks of all frames, each of which was answered once."""
    url = f"http://{address}"
    async with connect(url, policy="every", input="png", resume=QUICK) as stream:
        masks = [mask async for mask in stream.segment(pictures(at))]
        assert stream.ledger.answered_once
    return [mask.labels.tobytes() for mask in masks if mask.labels is not None]


@contextmanager
def running(folder: Path) -> Iterator[Two]:
    with server_process(folder / "a") as a, server_process(folder / "b") as b:
        yield a, b


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with those of the two servers, "a" and "b", for all tests that leave them
    unharmed."""
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def two(folder: Path) -> Iterator[Two]:
    with running(folder) as servers:
        yield servers


def test_the_shipped_file_is_valid() -> None:
    environment = {
        "MASTREAM_ENTRY": ":8000",
        "MASTREAM_NODES": "localhost:8000",
    }
    assert HAPROXY
    done = subprocess.run(  # noqa: PLW1510  the status is asserted
        [HAPROXY, "-c", "-f", str(CONFIG)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr


async def test_streams_are_spread_over_the_servers(two: Two, tmp_path: Path) -> None:
    with entry(tmp_path, *two) as address:
        async with AsyncExitStack() as streams:
            for _ in range(4):
                await streams.enter_async_context(connect(f"http://{address}"))
            assert [sessions(one) for one in two] == [2, 2]


@pytest.mark.parametrize("last", [signal.SIGTERM, signal.SIGKILL], ids=["drained", "killed"])
async def test_a_stream_outlives_its_server(tmp_path: Path, last: signal.Signals) -> None:
    """It continues on the other one, which also gets new streams."""
    with running(tmp_path) as two, entry(tmp_path, *two) as address:
        unbroken = await segmented(address)

        def end(number: int) -> None:
            if number == FRAMES // 2:
                (its,) = (one for one in two if sessions(one))
                its.process.send_signal(last)

        assert await segmented(address, end) == unbroken
        assert await segmented(address) == unbroken


def test_a_video_stays_with_the_server_that_has_it(two: Two, tmp_path: Path, folder: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", frames=5).read_bytes()
    with entry(tmp_path, *two) as address:
        links = []
        for number in range(4):
            request = urllib.request.Request(f"http://{address}/v1/videos?name={number}.mp4", clip)
            with urllib.request.urlopen(request) as answer:
                links.append(json.load(answer)["links"]["self"])
        for _ in range(3):
            for link in links:
                with urllib.request.urlopen(f"http://{address}{link}") as answer:
                    assert answer.status == 200
    held = [len(list((folder / name / "videos").iterdir())) for name in "ab"]
    assert all(held), "both servers have some of the videos"


def test_clients_cannot_claim_an_address(tmp_path: Path) -> None:
    with recording_server() as (address, heard), entry(tmp_path, address) as entrance:
        claim = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"}
        with urllib.request.urlopen(urllib.request.Request(f"http://{entrance}/x", None, claim)):
            pass
    assert heard["/x"].get_all("X-Forwarded-For") == ["127.0.0.1"]
    assert heard["/x"].get_all("X-Forwarded-Proto") == ["http"]


def test_what_one_server_has_no_room_for_is_asked_of_another(tmp_path: Path) -> None:
    with (
        recording_server(503) as (full, refused),
        recording_server() as (free, served),
        entry(tmp_path, full, free) as entrance,
    ):
        for number in range(4):
            with urllib.request.urlopen(f"http://{entrance}/{number}") as answer:
                assert answer.status == 200
    assert {f"/{number}" for number in range(4)} <= served.keys()
    assert refused.keys() - {"/health/ready"}, "it was asked first"


@contextmanager
def recording_server(status: int = 200) -> Iterator[tuple[str, dict[str, Message]]]:
    """Yield the address of a healthy server that answers ``status``, and the headers that it has
    received, by path."""
    heard: dict[str, Message] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard[self.path] = self.headers
            self.send_response(200 if self.path.startswith("/health") else status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}", heard
        finally:
            server.shutdown()
            thread.join()
