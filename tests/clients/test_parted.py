"""A file that is uploaded in parts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from clients.python import parted
from clients.python.errors import BadFootage, NoCapacity, NotOurs, Refused, Unreachable
from clients.python.parted import NotOffered, PartedUpload
from clients.python.reconnecting import Backoff

pytestmark = pytest.mark.anyio

AT_ONCE = Backoff(first=0.0, longest=0.0, give_up=5.0)
NEVER = Backoff(first=0.0, longest=0.0, give_up=-1.0)
OFFSET = "Upload-Offset"


class FakeServer:
    """Takes one upload. ``faults`` are called with each request, one after the other; those that
    return a response or raise replace the server's answer."""

    def __init__(self, length: int, *faults: Callable[[httpx.Request], httpx.Response | None]):
        self.length = length
        self.faults = list(faults)
        self.content = b""
        self.asked: list[str] = []
        self.created: list[httpx.Request] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.method)
        fault = self.faults.pop(0)(request) if self.faults else None
        if fault is not None:
            return fault
        if request.method == "POST":
            self.created.append(request)
            return httpx.Response(201, headers={"Location": "/v1/uploads/7", OFFSET: "0"})
        if request.method == "GET":
            return httpx.Response(200, json={"id": request.url.path.rpartition("/")[2]})
        if request.method == "PATCH":
            assert int(request.headers[OFFSET]) == len(self.content)
            self.content += await request.aread()
        done = {"Video-Location": "/v1/videos/7"} if len(self.content) == self.length else {}
        return httpx.Response(204, headers={OFFSET: str(len(self.content))} | done)


async def sent(
    path: Path, server: FakeServer, backoff: Backoff = AT_ONCE, **more: Any
) -> tuple[Any, int]:
    """Send a file; return the video's JSON and how many bytes were reported."""
    counted: list[int] = []
    async with httpx.AsyncClient(
        base_url="http://host", transport=httpx.MockTransport(server)
    ) as http:
        upload = PartedUpload(
            http, path, path.stat().st_size, "key", counted.append, backoff=backoff, **more
        )
        return await upload.run(), sum(counted)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(parted, "PART_BYTES", 1000)
    path = tmp_path / "straße.mp4"
    path.write_bytes(bytes(range(256)) * 10)
    return path


def nothing(_: httpx.Request) -> None:
    """The server answers."""


def lost(_: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("lost")


def problem(status: int, code: str) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, json={"code": code, "detail": "Words."})


async def test_a_file_is_sent_in_parts(path: Path) -> None:
    server = FakeServer(2560)
    assert await sent(path, server, fields={"artefacts": "a"}) == ({"id": "7"}, 2560)
    assert server.content == path.read_bytes()
    assert server.asked == ["POST", "HEAD", "PATCH", "PATCH", "PATCH", "GET"]
    (created,) = server.created
    assert created.headers["Upload-Length"] == "2560"
    assert created.headers["Idempotency-Key"] == "key"
    assert created.headers["Upload-Metadata"] == "filename c3RyYcOfZS5tcDQ=,artefacts YQ=="


@pytest.mark.parametrize(
    "fault",
    [
        lost,
        problem(503, "no_capacity"),
        problem(503, "draining"),
        problem(500, "fault"),
        problem(502, ""),
        problem(408, "too_slow"),
        problem(409, "offset_mismatch"),
        problem(409, "taken_over"),
    ],
)
@pytest.mark.parametrize("at", range(6))
async def test_an_error_that_passes_costs_nothing(path: Path, fault: Any, at: int) -> None:
    server = FakeServer(2560, *[nothing] * at, fault, lost)
    assert await sent(path, server) == ({"id": "7"}, 2560)
    assert server.content == path.read_bytes()


async def test_an_answer_that_is_lost_is_asked_for_again(path: Path) -> None:
    async def answer(request: httpx.Request) -> httpx.Response:
        found = await FakeServer.__call__(server, request)
        if request.method == "PATCH" and len(server.content) == 2560:
            lost(request)
        return found

    server = FakeServer(2560)
    async with httpx.AsyncClient(
        base_url="http://host", transport=httpx.MockTransport(answer)
    ) as http:
        upload = PartedUpload(http, path, 2560, "key", backoff=AT_ONCE)
        assert await upload.run() == {"id": "7"}
    assert server.asked == ["POST", "HEAD", "PATCH", "PATCH", "PATCH", "HEAD", "GET"]


async def test_an_error_that_does_not_pass_ends_the_upload(path: Path) -> None:
    refused = problem(415, "unsupported_media")
    with pytest.raises(Refused, match="Words"):
        await sent(path, FakeServer(2560, nothing, nothing, refused))


async def test_it_gives_up_after_a_while_without_progress(path: Path) -> None:
    with pytest.raises(Unreachable):
        await sent(path, FakeServer(2560, nothing, nothing, lost), NEVER)
    with pytest.raises(NoCapacity):
        await sent(path, FakeServer(2560, problem(503, "no_capacity")), NEVER)


async def test_a_server_without_uploads_in_parts_is_noticed(path: Path) -> None:
    with pytest.raises(NotOffered):
        await sent(path, FakeServer(2560, problem(404, "not_found")))


@pytest.mark.parametrize("headers", [{}, {OFFSET: "x"}])
async def test_an_answer_without_an_offset_is_not_ours(path: Path, headers: Any) -> None:
    with pytest.raises(NotOurs):
        await sent(path, FakeServer(2560, nothing, lambda _: httpx.Response(200, headers=headers)))


async def test_a_file_that_shrinks_is_reported(path: Path) -> None:
    def shrink(_: httpx.Request) -> None:
        path.write_bytes(b"short")

    with pytest.raises(BadFootage, match="became shorter"):
        await sent(path, FakeServer(2560, nothing, shrink))


async def test_a_cancelled_upload_is_removed_with_its_video(path: Path) -> None:
    reached = asyncio.Event()
    server = FakeServer(2560)

    async def answer(request: httpx.Request) -> httpx.Response:
        found = await server(request)
        if request.method == "PATCH" and len(server.content) == 2560:
            reached.set()
            await asyncio.Event().wait()
        return found

    async with httpx.AsyncClient(
        base_url="http://host", transport=httpx.MockTransport(answer)
    ) as http:
        sending = asyncio.create_task(PartedUpload(http, path, 2560, "key").run())
        await reached.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
    assert server.asked[-3:] == ["HEAD", "DELETE", "DELETE"]
