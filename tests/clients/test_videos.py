from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from clients.python import videos
from clients.python.errors import BadFootage, NotOurs, TooLarge, Unreachable, VideoFailed
from clients.python.video import Video
from clients.python.videos import Videos

pytestmark = pytest.mark.anyio

LINKS = {"self": "/v1/videos/7", "events": "/v1/videos/7/events"}
HOOK = "https://hooks.example.org/done"
RESULTS = {"masks.mkv": "/v1/videos/7/masks.mkv"}


def body(state: str, done: int = 0, links: dict[str, str] = LINKS, **more: Any) -> dict[str, Any]:
    progress = {"frames_done": done, "frames_total": 10, "fps": 2.5, "eta_s": 4.0}
    return {"id": "7", "state": state, "progress": progress, "links": links} | more


async def ask(
    answer: Callable[[httpx.Request], httpx.Response], use: Callable[[Videos], Awaitable[Any]]
) -> Any:
    transport = httpx.MockTransport(answer)
    async with Videos("http://host:8000", {"X-Key": "k"}, transport=transport) as server:
        return await use(server)


async def test_an_upload_is_streamed_with_its_name_and_key(tmp_path: Path) -> None:
    clip, sent, counted = tmp_path / "a b.mp4", [], []
    clip.write_bytes(bytes(600_000))

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(202, json=body("queued"))

    video = await ask(
        answer, lambda server: server.upload(clip, key="mine", on_bytes=counted.append)
    )
    assert (video.id, video.state, video.done, video.total) == ("7", "queued", 0, 10)
    (request,) = sent
    assert (request.method, request.url.host, request.url.path) == ("POST", "host", "/v1/videos")
    assert request.url.params["name"] == "a b.mp4"
    assert request.headers["Idempotency-Key"] == "mine"
    assert request.headers["Content-Length"] == "600000"
    assert request.headers["X-Key"] == "k"
    assert len(counted) == 3
    assert sum(counted) == 600_000


async def test_a_large_file_is_sent_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(videos, "PARTS_ABOVE", 9)
    clip, asked, metadata = tmp_path / "a.mp4", [], []
    clip.write_bytes(bytes(10))

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        if request.method == "POST":
            metadata.append(request.headers["Upload-Metadata"])
            return httpx.Response(201, headers={"Location": "/v1/uploads/7"})
        if request.method == "GET":
            return httpx.Response(200, json=body("queued"))
        done = {"Upload-Offset": "10", "Video-Location": "/v1/videos/7"}
        return httpx.Response(204, headers=done)

    video = await ask(
        answer, lambda server: server.upload(clip, classes=["road"], callback_url=HOOK)
    )
    assert video.id == "7"
    for field in ("road", HOOK):
        assert base64.b64encode(field.encode()).decode() in metadata[0]
    assert asked == ["POST /v1/uploads", "HEAD /v1/uploads/7", "GET /v1/videos/7"]


async def test_a_server_that_takes_no_parts_gets_the_whole_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(videos, "PARTS_ABOVE", 9)
    clip = tmp_path / "a.mp4"
    clip.write_bytes(bytes(10))

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/uploads":
            return httpx.Response(404, json={"code": "not_found"})
        assert request.headers["Content-Length"] == "10"
        return httpx.Response(202, json=body("queued"))

    assert (await ask(answer, lambda server: server.upload(clip))).id == "7"


async def test_an_upload_says_what_is_to_be_made(tmp_path: Path) -> None:
    clip, sent = tmp_path / "a.mp4", []
    clip.write_bytes(b"x")

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(dict(request.url.params))
        return httpx.Response(202, json=body("queued"))

    async def upload(server: Videos) -> None:
        await server.upload(clip)
        await server.upload(clip, artefacts=["masks.json"], classes=("road", "car"), opacity=0)
        await server.upload(clip, callback_url=HOOK + "?a=1&b=2")

    await ask(answer, upload)
    assert sent == [
        {"name": "a.mp4"},
        {"name": "a.mp4", "artefacts": "masks.json", "classes": "road,car", "opacity": "0"},
        {"name": "a.mp4", "callback_url": HOOK + "?a=1&b=2"},
    ]


async def test_all_videos_come_page_by_page() -> None:
    pages = {
        None: {"videos": [body("queued") | {"id": "3"}, body("queued") | {"id": "2"}], "next": "2"},
        "2": {"videos": [body("queued") | {"id": "1"}], "next": None},
    }

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/videos"
        return httpx.Response(200, json=pages[request.url.params.get("cursor")])

    async def listed(server: Videos) -> list[str]:
        return [video.id async for video in server.all()]

    assert await ask(answer, listed) == ["3", "2", "1"]


async def test_every_upload_has_a_key_of_its_own(tmp_path: Path) -> None:
    clip, keys = tmp_path / "a.mp4", []
    clip.write_bytes(b"x")

    def answer(request: httpx.Request) -> httpx.Response:
        keys.append(request.headers["Idempotency-Key"])
        return httpx.Response(202, json=body("queued"))

    await ask(answer, lambda server: server.upload(clip))
    await ask(answer, lambda server: server.upload(clip))
    assert len(set(keys)) == 2


async def test_a_cancelled_upload_leaves_no_video_on_the_server(tmp_path: Path) -> None:
    clip = tmp_path / "a.mp4"
    clip.write_bytes(bytes(3 * videos.CHUNK_BYTES))
    asked, reached, cancelled = [], asyncio.Event(), asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        if request.method == "POST":
            await request.aread()
            reached.set()
            await cancelled.wait()
        return httpx.Response(202, json=body("queued"))

    async with Videos("http://h", transport=httpx.MockTransport(answer)) as server:
        uploading = asyncio.create_task(server.upload(clip))
        await reached.wait()
        uploading.cancel()
        cancelled.set()
        with pytest.raises(asyncio.CancelledError):
            await uploading
    assert asked == ["POST /v1/videos", "DELETE /v1/videos/7"]


async def test_a_cancelled_upload_that_is_not_whole_is_broken_off(tmp_path: Path) -> None:
    clip = tmp_path / "a.mp4"
    clip.write_bytes(bytes(3 * videos.CHUNK_BYTES))
    transport = Breaking()
    async with Videos("http://h", transport=transport) as server:
        uploading = asyncio.create_task(server.upload(clip))
        await transport.reached.wait()
        uploading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await uploading
    assert transport.broken


class Breaking(httpx.AsyncBaseTransport):
    """Reads one piece of an upload, then no more."""

    def __init__(self) -> None:
        self.reached, self.broken = asyncio.Event(), False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        assert isinstance(request.stream, httpx.AsyncByteStream)
        try:
            async for _ in request.stream:
                self.reached.set()
                await asyncio.Event().wait()
        finally:
            self.broken = True
        raise AssertionError("it is not read to its end")


async def test_refusals_are_reported_in_the_servers_words(tmp_path: Path) -> None:
    clip = tmp_path / "a.mp4"
    clip.write_bytes(b"x")

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(413, json={"detail": "over 1 byte", "code": "too_large"})

    with pytest.raises(TooLarge, match="over 1 byte"):
        await ask(answer, lambda server: server.upload(clip))


async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BadFootage, match="cannot be read"):
        await ask(
            lambda _: httpx.Response(500),
            lambda server: server.upload(tmp_path / "absent.mp4"),
        )


async def test_progress_is_followed_by_events() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/v1/videos/7/events"
        states = [body("running", 3), body("running", 8), body("succeeded", 10)]
        lines = [f"id: {n}\ndata: {json.dumps(state)}\n\n" for n, state in enumerate(states)]
        text = ": ping\n\n" + "".join(lines)
        return httpx.Response(200, text=text, headers={"Content-Type": "text/event-stream"})

    seen: list[int] = []
    queued = Video.from_dict(body("queued"))
    done = await ask(answer, lambda server: server.finished(queued, lambda v: seen.append(v.done)))
    assert seen == [3, 8, 10]
    assert done.state == "succeeded"


@pytest.mark.parametrize("events", ["absent", "no event stream", "broken off", "ended early"])
async def test_else_by_asking(monkeypatch: pytest.MonkeyPatch, events: str) -> None:
    monkeypatch.setattr(videos, "POLL_SECONDS", 0.0)
    states: Iterator[Any] = iter([body("running", 5), body("succeeded", 10)])
    ended = f"data: {json.dumps(body('running', 1))}\n\n"

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/videos/7":
            return httpx.Response(200, json=next(states))
        if events == "broken off":
            raise httpx.ReadError("gone")
        kind = "text/event-stream" if events == "ended early" else "text/html"
        return httpx.Response(200, text=ended, headers={"Content-Type": kind})

    links = {"self": LINKS["self"]} if events == "absent" else LINKS
    seen: list[int] = []
    queued = Video.from_dict(body("queued", links=links))
    await ask(answer, lambda server: server.finished(queued, lambda v: seen.append(v.done)))
    assert seen[-2:] == [5, 10]


@pytest.mark.parametrize(
    ("ended", "says"),
    [
        (body("failed", error={"detail": "no frame could be read"}), "no frame could be read"),
        (body("cancelled"), "was cancelled"),
    ],
)
async def test_a_video_that_does_not_succeed(ended: dict[str, Any], says: str) -> None:
    last = Video.from_dict(ended | {"links": {}})
    with pytest.raises(VideoFailed, match=says):
        await ask(
            lambda _: httpx.Response(500), lambda server: server.finished(last, lambda _: None)
        )


async def test_an_artefact_is_there_once_it_is_whole(tmp_path: Path) -> None:
    target, counted = tmp_path / "masks.mkv", []

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == RESULTS["masks.mkv"]
        return httpx.Response(200, content=b"x" * 1000)

    def use(server: Videos) -> Awaitable[Any]:
        return server.download(RESULTS["masks.mkv"], target, counted.append)

    await ask(answer, use)
    assert target.read_bytes() == b"x" * 1000
    assert sum(counted) == 1000
    assert list(tmp_path.iterdir()) == [target]


async def test_a_download_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    async def pieces() -> Any:
        yield b"x"
        raise httpx.ReadError("gone")

    with pytest.raises(Unreachable):
        await ask(
            lambda _: httpx.Response(200, content=pieces()),
            lambda server: server.download("/a", tmp_path / "a"),
        )
    assert list(tmp_path.iterdir()) == []


def test_artefacts_are_the_links_to_them() -> None:
    assert (
        Video.from_dict(
            body("succeeded", links=LINKS | RESULTS | {"source": "/v1/videos/7/source"})
        ).artefacts
        == RESULTS
    )


async def test_a_video_can_be_removed() -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path))
        return httpx.Response(204)

    await ask(answer, lambda server: server.remove("7"))
    assert asked == [("DELETE", "/v1/videos/7")]


@pytest.mark.parametrize(
    "text", ["<html>", "[]", "{}", '{"id":1,"state":"x","progress":{"frames_done":"y"}}']
)
async def test_another_servers_answer(text: str) -> None:
    with pytest.raises(NotOurs):
        await ask(lambda _: httpx.Response(200, text=text), lambda server: server.status("7"))
