"""Real cameras that a real server pulls: what a viewer and the REST interface see of each fault."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from operator import le
from pathlib import Path
from typing import Any

import httpx
import pytest
from cameras import Camera
from damaging_proxy import damaging_proxy
from http_cameras import http_camera
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

import protocol

pytestmark = pytest.mark.anyio

MakeCamera = Callable[..., Camera]
PATIENCE = 20.0
COMINGS = 20
ROUNDS = 3
"""A pool of threads or of database connections may grow in one of them; a leak grows in each."""


@dataclass
class Viewer:
    """What one viewer has seen so far; :meth:`read` runs in the background."""

    socket: ClientConnection
    headers: list[protocol.MaskHeader] = field(default_factory=list)
    labels: list[bytes] = field(default_factory=list)
    texts: list[dict[str, Any]] = field(default_factory=list)

    async def read(self) -> None:
        with suppress(ConnectionClosed):
            while True:
                self._take(await self.socket.recv())

    def _take(self, message: str | bytes) -> None:
        if isinstance(message, str):
            self.texts.append(json.loads(message))
            return
        header, payload = protocol.unpack_mask(message, len(message))
        self.headers.append(header)
        self.labels.append(payload)

    async def more(self, count: int) -> list[protocol.MaskHeader]:
        """Wait for this many more masks and return them."""
        seen = len(self.headers)
        await until(lambda: len(self.headers) >= seen + count)
        return self.headers[seen:]

    async def reset(self, cause: str) -> int:
        """Wait for the mask before which the memory was emptied for this cause; return where it
        is."""
        await until(lambda: cause in self.resets)
        return self.resets.index(cause)

    @property
    def resets(self) -> list[str | None]:
        return [header.memory.reset for header in self.headers]

    def check(self, *causes: str) -> None:
        """Check that numbers and times rise, and that the memory was emptied only for these
        causes."""
        for before, after in pairwise(self.headers):
            assert before.seq < after.seq
            assert before.pts is not None and after.pts is not None and before.pts < after.pts
        # A cut may be seen in a picture that is damaged, and by chance in one with a clock.
        resets = [cause for cause in self.resets if cause not in (None, "new", "cut")]
        assert resets == list(causes)


class Server:
    """Streams of one server by REST."""

    def __init__(self, running: Any, http: httpx.AsyncClient) -> None:
        self.running = running
        self.http = http
        self.added: list[str] = []

    async def add(self, name: str, url: str, **wishes: Any) -> None:
        answer = await self.http.post("/v1/streams", json={"name": name, "url": url} | wishes)
        assert answer.status_code == 201, answer.text
        self.added.append(name)

    async def remove(self, name: str) -> None:
        assert (await self.http.delete(f"/v1/streams/{name}")).status_code == 204
        self.added.remove(name)

    async def get(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get(f"/v1/streams/{name}")).json()
        return found

    async def state(self, name: str, *states: str) -> dict[str, Any]:
        """Wait for one of these states, and return the stream."""
        end = time.monotonic() + PATIENCE
        while (found := await self.get(name))["state"] not in states:
            assert time.monotonic() < end, found
            await asyncio.sleep(0.02)
        return found

    @asynccontextmanager
    async def viewer(self, name: str) -> AsyncIterator[Viewer]:
        address = f"{self.running.ws}/v1/streams/{name}/masks"
        async with connect(address, compression=None, max_size=None) as socket:
            await socket.send(json.dumps({"type": "open", "output": "raw", "size": "model"}))
            viewer = Viewer(socket)
            reading = asyncio.create_task(viewer.read())
            await until(lambda: bool(viewer.texts))
            yield viewer
        await reading

    def leavings(self) -> tuple[int, int]:
        """The process's threads and open files."""
        process = Path("/proc") / str(self.running.process.pid)
        return len(list((process / "task").iterdir())), len(list((process / "fd").iterdir()))


async def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.01)


@pytest.fixture
async def server(camera_server: Any) -> AsyncIterator[Server]:
    async with httpx.AsyncClient(base_url=camera_server.http, timeout=PATIENCE) as http:
        server = Server(camera_server, http)
        yield server
        for name in list(server.added):
            await server.remove(name)


HEALTHY = [{"codec": "h264"}, {"codec": "hevc"}, {"codec": "mjpeg"}, {"bframes": 2}]


@pytest.mark.parametrize(
    "options", HEALTHY, ids=lambda options: "-".join(map(str, options.values()))
)
async def test_a_healthy_camera(
    server: Server, camera: MakeCamera, options: dict[str, Any]
) -> None:
    await server.add("cam", camera(**options).url)
    async with server.viewer("cam") as viewer:
        await viewer.more(30)
        viewer.check()
        assert viewer.resets[0] == "new"
        found = await server.get("cam")
    assert (found["state"], found["code"], found["detail"]) == ("live", "", "")
    assert (found["width"], found["height"], found["viewers"]) == (320, 240, 1)
    assert found["connections"] == 1 and found["masks"] >= 30
    assert 10 < found["rates"]["fps_in"] < 40 and 5 < found["rates"]["fps_out"] < 40
    assert 0 < found["rates"]["latency_p50"] <= found["rates"]["latency_p99"]


async def test_killed_and_started_again_with_another_size(
    server: Server, camera: MakeCamera
) -> None:
    one = camera(codec="mjpeg")
    await server.add("cam", one.url)
    async with server.viewer("cam") as viewer:
        await viewer.more(5)
        one.kill()
        down = await server.state("cam", "backoff")
        assert down["code"] in ("source_ended", "source_fault", "source_unreachable")
        assert down["detail"].endswith(".")
        await until_code(server, "source_unreachable")
        one.start(width=640, height=360)
        await viewer.reset("connection")
        await viewer.more(5)
        viewer.check("connection")
    found = await server.get("cam")
    assert (found["state"], found["code"]) == ("live", "")
    assert (found["width"], found["height"]) == (640, 360)
    assert found["connections"] >= 2 and found["resets"]["connection"] == 1


async def until_code(server: Server, code: str) -> None:
    end = time.monotonic() + PATIENCE
    while (found := await server.get("cam"))["code"] != code:
        assert time.monotonic() < end, found
        await asyncio.sleep(0.02)


async def test_after_a_stall_the_first_mask_is_that_of_a_fresh_stream(
    server: Server, camera: MakeCamera
) -> None:
    one = camera(codec="mjpeg", mounts=1)
    wishes = {"policy": "every", "max_gap": 0.3}
    await server.add("cam", one.url, **wishes)
    async with server.viewer("cam") as viewer:
        await viewer.more(5)
        one.freeze()
        stalled = await server.state("cam", "stalled")
        assert stalled["code"] == "source_silent"
        assert stalled["detail"].startswith("The camera sent nothing for 0.")
        await server.add("fresh", one.url, **wishes)
        async with server.viewer("fresh") as fresh:
            await asyncio.sleep(0.3)
            one.freeze(False)
            first = await viewer.reset("gap")
            await fresh.more(3)
            await viewer.more(3)
        viewer.check("gap")
        assert fresh.resets[0] == "new"
        assert viewer.labels[first : first + 3] == fresh.labels[:3]
    found = await server.get("cam")
    assert (found["state"], found["connections"], found["resets"]["gap"]) == ("live", 1, 1)


async def test_frozen_for_long(server: Server, camera: MakeCamera) -> None:
    one = camera()
    await server.add("cam", one.url)
    async with server.viewer("cam") as viewer:
        await viewer.more(5)
        one.freeze()
        found = await server.state("cam", "backoff")
        assert found["code"] == "source_silent"
        one.freeze(False)
        await viewer.reset("connection")
        viewer.check("connection")


async def test_accepting_and_silent(server: Server, camera: MakeCamera) -> None:
    one = camera()
    one.suspend()
    await server.add("cam", one.url)
    async with server.viewer("cam") as viewer:
        assert (await server.get("cam"))["state"] == "connecting"
        found = await server.state("cam", "backoff")
        assert found["code"] == "source_silent" and found["frames"] == 0
        one.resume()
        await viewer.more(3)
        viewer.check()


async def test_no_key_frame(server: Server, camera: MakeCamera) -> None:
    one = camera(keyless=True)
    await server.add("cam", one.url)
    found = await server.state("cam", "backoff")
    assert found["code"] == "source_undecodable", found
    one.send_key_frames(True)
    await server.state("cam", "live")


@pytest.mark.parametrize("auth", ["basic", "digest"])
async def test_a_wrong_password(server: Server, camera: MakeCamera, auth: str) -> None:
    one = camera(auth=auth, user="user", password="pa55word")
    await server.add("cam", one.mount(0, "user:wr0ng"))
    found = await server.state("cam", "backoff")
    assert found["code"] == "source_unauthorized"
    assert found["detail"] == "The source refuses this user and password."
    assert "wr0ng" not in json.dumps(found) and found["url"] == one.url
    await server.add("good", one.mount(0, "user:pa55word"))
    await server.state("good", "live")


async def test_nothing_at_this_path(server: Server, camera: MakeCamera) -> None:
    await server.add("cam", camera().mount(7))
    assert (await server.state("cam", "backoff"))["code"] == "source_not_found"


async def test_another_size_in_mid_stream(server: Server, camera: MakeCamera) -> None:
    one = camera()
    await server.add("cam", one.url)
    async with server.viewer("cam") as viewer:
        await viewer.more(5)
        one.resize(640, 360)
        await viewer.reset("size")
        await viewer.more(5)
        viewer.check("size")
    found = await server.get("cam")
    assert (found["width"], found["height"], found["connections"]) == (640, 360, 1)


async def test_times_that_jump_back(server: Server, camera: MakeCamera) -> None:
    one = camera()
    async with damaging_proxy(one.port) as proxy:
        await server.add("cam", one.mount(0, port=proxy.port))
        async with server.viewer("cam") as viewer:
            await viewer.more(10)
            proxy.shift = -3600 * 90_000
            await viewer.more(20)
            viewer.check()
            first, last = viewer.headers[0].pts, viewer.headers[-1].pts
            assert first is not None and last is not None and last - first < 60
        await server.remove("cam")


async def test_5_percent_of_the_packets_damaged(server: Server, camera: MakeCamera) -> None:
    one = camera(gop=10)
    async with damaging_proxy(one.port) as proxy:
        await server.add("cam", one.mount(0, port=proxy.port))
        async with server.viewer("cam") as viewer:
            await viewer.more(5)
            proxy.damage = 0.05
            await viewer.more(75)
            assert proxy.damaged > 0
            proxy.damage = 0.0
            await viewer.more(10)
            viewer.check()
        assert (await server.get("cam"))["state"] == "live"
        await server.remove("cam")


async def test_eight_cameras_at_once(server: Server, camera: MakeCamera) -> None:
    one = camera(mounts=8, fps=10)

    async def watch(number: int) -> None:
        await server.add(f"cam{number}", one.mount(number))
        async with server.viewer(f"cam{number}") as viewer:
            await viewer.more(20)
            viewer.check()

    await asyncio.gather(*map(watch, range(8)))
    listed = (await server.http.get("/v1/streams")).json()["streams"]
    assert [found["state"] for found in listed] == ["live"] * 8


async def test_cameras_that_come_and_go_leave_nothing(server: Server) -> None:
    with http_camera(fps=50) as base:

        async def come_and_go() -> None:
            await server.add("cam", f"{base}/mjpeg")
            async with server.viewer("cam") as viewer:
                await viewer.more(1)
                await server.remove("cam")
                await until(lambda: viewer.socket.close_code is not None)
            assert viewer.texts[-1]["type"] == "end"

        async def leave_nothing() -> bool:
            before = server.leavings()
            for _ in range(COMINGS):
                await come_and_go()
            with suppress(AssertionError):
                await until(lambda: all(map(le, server.leavings(), before)))
                return True
            return False

        await come_and_go()
        for _ in range(ROUNDS):
            if await leave_nothing():
                return
        pytest.fail("threads or files grew in every round")


async def test_who_watches_is_told_that_the_server_goes_away(
    run_server: Any, camera: MakeCamera
) -> None:
    one = camera(mounts=1)
    with run_server() as running:
        async with httpx.AsyncClient(base_url=running.http, timeout=PATIENCE) as http:
            server = Server(running, http)
            await server.add("cam", one.url)
            async with (
                server.viewer("cam") as viewer,
                http.stream("GET", "/v1/streams/cam/preview") as preview,
                http.stream("GET", "/v1/streams/cam/events") as events,
            ):
                await viewer.more(3)
                running.process.send_signal(signal.SIGTERM)
                pictures = b"".join([part async for part in preview.aiter_bytes()])
                lines = [line async for line in events.aiter_lines()]
                await until(lambda: viewer.socket.close_code is not None)
        assert pictures.count(b"Content-Type: image/jpeg") >= 1
        assert any("live" in line for line in lines)
        assert viewer.texts[-1]["type"] == "going_away"
        assert viewer.socket.close_code == 1012
        assert running.process.wait(PATIENCE) == 0
