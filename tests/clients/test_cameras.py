from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from camera_body import BODY

from clients.python.camera import CameraEvent
from clients.python.cameras import Cameras
from clients.python.errors import ClientError, GoneAway, NotFound, NotOurs, Refused, Unreachable
from protocol import End, Failure, GoingAway, MaskEncoding, MaskSize, Ping, Pong

pytestmark = pytest.mark.anyio


class Answers(httpx.AsyncBaseTransport):
    """Gives one answer to every request, and keeps the requests."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer
        self.asked: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        return self.answer


async def ask(answer: httpx.Response, use: Callable[[Cameras], Awaitable[Any]]) -> tuple[Any, Any]:
    """The result, and the one request as (method, path with query, JSON or None)."""
    transport = Answers(answer)
    async with Cameras("http://host/base", {"X-Key": "k"}, transport) as cameras:
        result = await use(cameras)
    (asked,) = transport.asked
    assert asked.headers["X-Key"] == "k"
    sent = json.loads(asked.content) if asked.content else None
    return result, (asked.method, asked.url.raw_path.decode(), sent)


async def test_a_camera_is_added_with_the_options_that_are_given() -> None:
    camera, asked = await ask(
        httpx.Response(201, json=BODY),
        lambda all_: all_.add("front", "rtsp://u:p@camera/main", max_fps=5, on_cut="keep"),
    )
    wish = {"name": "front", "url": "rtsp://u:p@camera/main", "max_fps": 5, "on_cut": "keep"}
    assert asked == ("POST", "/base/v1/streams", wish)
    assert (camera.name, camera.state, camera.since) == ("front", "stalled", 1.5)
    assert (camera.fps_in, camera.fps_out, camera.latency_p99) == (25.0, 24.5, 9.25)
    assert (camera.dropped, camera.resets) == ({"newer": 10}, {"connection": 2})
    assert (camera.viewers, camera.connections, camera.masks) == (2, 3, 90)
    assert camera.publishing == ""


async def test_every_camera_is_listed() -> None:
    cameras, asked = await ask(
        httpx.Response(200, json={"streams": [BODY, BODY | {"name": "yard"}]}),
        lambda all_: all_.list(),
    )
    assert asked == ("GET", "/base/v1/streams", None)
    assert [one.name for one in cameras] == ["front", "yard"]


async def test_one_camera_is_asked_for_paused_and_resumed() -> None:
    answer = httpx.Response(200, json=BODY)
    _, asked = await ask(answer, lambda all_: all_.get("a/b"))
    assert asked == ("GET", "/base/v1/streams/a%2Fb", None)
    _, asked = await ask(answer, lambda all_: all_.pause("front"))
    assert asked == ("PATCH", "/base/v1/streams/front", {"paused": True})
    _, asked = await ask(answer, lambda all_: all_.resume("front"))
    assert asked == ("PATCH", "/base/v1/streams/front", {"paused": False})
    _, asked = await ask(answer, lambda all_: all_.record("front"))
    assert asked == ("PATCH", "/base/v1/streams/front", {"record": True})
    _, asked = await ask(httpx.Response(204), lambda all_: all_.remove("front"))
    assert asked == ("DELETE", "/base/v1/streams/front", None)


async def test_a_snapshot_is_bytes_in_the_form_that_is_asked_for() -> None:
    picture, asked = await ask(
        httpx.Response(200, content=b"\xff\xd8"),
        lambda all_: all_.snapshot("front", overlay=False, opacity=0.25),
    )
    assert picture == b"\xff\xd8"
    query = "format=jpeg&overlay=false&opacity=0.25"
    assert asked == ("GET", f"/base/v1/streams/front/snapshot?{query}", None)


async def test_events_come_with_their_ids() -> None:
    body = (
        'event: state\ndata: {"state": "live"}\nid: 4\n\n: ping\n\n'
        'event: reset\ndata: {"cause":\ndata: "cut"}\nid: 6\n\n'
    )
    body = body.replace(":\ndata: ", ": ")
    transport = Answers(httpx.Response(200, text=body))
    async with Cameras("http://host", transport=transport) as cameras:
        found = [event async for event in cameras.events("front", seen=3)]
    assert found == [
        CameraEvent(4, "state", {"state": "live"}),
        CameraEvent(6, "reset", {"cause": "cut"}),
    ]
    assert transport.asked[0].headers["Last-Event-ID"] == "3"


async def test_a_refusal_is_reported_in_the_servers_words() -> None:
    problem = {"detail": "There is no stream 'front'.", "code": "not_found"}
    with pytest.raises(NotFound, match=r"^There is no stream 'front'\.$"):
        await ask(httpx.Response(404, json=problem), lambda all_: all_.get("front"))
    taken = {"detail": "There is a stream front already.", "code": "conflict"}
    with pytest.raises(Refused, match=r"already\.$") as caught:
        await ask(httpx.Response(409, json=taken), lambda all_: all_.add("front", "rtsp://h"))
    assert type(caught.value) is Refused

    async def events(cameras: Cameras) -> None:
        async for _ in cameras.events("front"):
            pass

    with pytest.raises(NotFound, match="no stream"):
        await ask(httpx.Response(404, json=problem), events)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"name": "front"}),
        httpx.Response(200, json=BODY | {"rates": None}),
        httpx.Response(200, json=BODY | {"masks": "many"}),
    ],
)
async def test_another_server_is_noticed(answer: httpx.Response) -> None:
    with pytest.raises(NotOurs) as caught:
        await ask(answer, lambda all_: all_.get("front"))
    assert str(caught.value).endswith(".")


async def watched(url: str, **wish: Any) -> list[Any]:
    async with Cameras(url) as cameras:
        return [mask async for mask in cameras.watch("front", **wish)]


async def test_masks_of_a_camera_are_watched(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        opened = await talk.greet()
        assert (opened.output, opened.size) == (MaskEncoding.RLE, MaskSize.MODEL)
        await talk.say(Ping())
        assert await talk.hear() == Pong()
        await talk.mask(7, "rle", pts=0.28)
        await talk.mask(9, "rle", pts=0.36)
        await talk.say(End())

    server = small_server(handler)
    found = await watched(server.url, output="rle", size="model")
    assert server.talks[0].socket.request.path == "/v1/streams/front/masks"
    assert [(mask.seq, mask.frame.pts) for mask in found] == [(7, 0.28), (9, 0.36)]
    assert all((mask.labels == 1).all() and mask.labels.shape == (4, 6) for mask in found)
    assert all(math.isnan(mask.round_trip) for mask in found)


async def test_a_viewer_that_stops_closes_its_socket(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.mask(0)
        await talk.socket.wait_closed()

    server = small_server(handler)
    async with Cameras(server.url) as cameras:
        masks: AsyncIterator[Any] = cameras.watch("front", decode=False)
        first = await anext(masks)
        assert (first.seq, first.labels) == (0, None)
        await masks.aclose()  # type: ignore[attr-defined]
    assert server.ended.wait(10)


async def test_an_unknown_camera_is_reported_by_the_socket(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.say(Failure("not_found", "There is no stream 'front'.", 404, fatal=True))
        await talk.socket.close(4404, "not_found")

    with pytest.raises(NotFound, match=r"^There is no stream 'front'\.$"):
        await watched(small_server(handler).url)


async def test_a_server_that_stops_or_breaks_off_is_reported(small_server: Any) -> None:
    async def stops(talk: Any) -> None:
        await talk.greet()
        await talk.say(GoingAway(1500))

    with pytest.raises(GoneAway) as caught:
        await watched(small_server(stops).url, reconnect=False)
    assert caught.value.reconnect_after == 1.5

    async def breaks_off(talk: Any) -> None:
        await talk.greet()
        talk.socket.transport.abort()

    with pytest.raises(Unreachable, match="connection to the server was lost"):
        await watched(small_server(breaks_off).url, reconnect=False)


async def test_what_is_no_address_is_refused() -> None:
    with pytest.raises(ClientError, match="is not a server's address") as caught:
        Cameras("ftp://me:secret@host")
    assert "secret" not in str(caught.value)
