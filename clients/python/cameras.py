"""The streams that a server pulls itself: add cameras, list them, watch their masks and events.

async with Cameras("http://localhost:8000") as cameras:
    await cameras.add("front", "rtsp://camera/main")
    async for mask in cameras.watch("front"):
        print(mask.seq, mask.labels.shape)
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Self
from urllib.parse import quote

import httpx

from clients.python.addresses import stream_address, web_address
from clients.python.camera import Camera, CameraEvent, events_of
from clients.python.errors import NotOurs
from clients.python.foreign import checked_answer, json_of, web_errors
from clients.python.keys import with_key
from clients.python.mask import Mask
from clients.python.reconnecting import Backoff
from clients.python.viewer import view
from clients.python.viewing import OnViewerEvent, Viewing
from protocol import DropPolicy, MaskEncoding, MaskSize, Open

SILENT_SECONDS = 60.0
"""The server sends a comment into a quiet stream of events more often than this."""


class Cameras:
    """The pulled streams of one server. Use it as ``async with Cameras(url) as cameras``.

    Every method raises a ClientError. ``transport`` replaces the network in tests.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = web_address(url)
        self._headers = headers
        self._http = httpx.AsyncClient(
            base_url=self._url,
            headers=with_key(headers),
            timeout=httpx.Timeout(SILENT_SECONDS, connect=10.0),
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def add(
        self,
        name: str,
        url: str,
        *,
        policy: DropPolicy | str | None = None,
        budget_ms: float | None = None,
        max_fps: float | None = None,
        loop: bool | None = None,
        max_gap: float | None = None,
        on_gap: str | None = None,
        on_connect: str | None = None,
        on_size: str | None = None,
        on_cut: str | None = None,
        publish: str | None = None,
        paused: bool | None = None,
    ) -> Camera:
        """Let the server pull ``url`` from now on, across its restarts.

        None leaves an option at the server's default. ``max_gap`` is in seconds; the ``on_``
        options are "reset" or "keep", for the memory. ``publish`` is an RTSP address to send the
        overlay to.
        """
        asked = {
            "name": name,
            "url": url,
            "policy": None if policy is None else str(policy),
            "budget_ms": budget_ms,
            "max_fps": max_fps,
            "loop": loop,
            "max_gap": max_gap,
            "on_gap": on_gap,
            "on_connect": on_connect,
            "on_size": on_size,
            "on_cut": on_cut,
            "publish": publish,
            "paused": paused,
        }
        given = {field: value for field, value in asked.items() if value is not None}
        return Camera.from_dict(await self._json("POST", "", json=given))

    async def list(self) -> list[Camera]:
        """Return all cameras, the oldest first."""
        answer = await self._json("GET", "")
        try:
            return [Camera.from_dict(one) for one in answer["streams"]]
        except (KeyError, TypeError) as error:
            raise NotOurs(f"The server's answer is not a list of streams: {error!r}.") from error

    async def get(self, name: str) -> Camera:
        """Return one camera."""
        return Camera.from_dict(await self._json("GET", name))

    async def pause(self, name: str) -> Camera:
        """Close the connection to a camera until :meth:`resume`. Idempotent."""
        return Camera.from_dict(await self._json("PATCH", name, json={"paused": True}))

    async def resume(self, name: str) -> Camera:
        """Connect again, also after the stream has ended or failed. Idempotent."""
        return Camera.from_dict(await self._json("PATCH", name, json={"paused": False}))

    async def record(self, name: str, wanted: bool = True) -> Camera:
        """Begin a recording of a camera, which empties its memory, or end it. Idempotent."""
        return Camera.from_dict(await self._json("PATCH", name, json={"record": wanted}))

    async def remove(self, name: str) -> None:
        """Make the server forget a camera; its viewers' streams end."""
        await self._send("DELETE", _path(name))

    async def snapshot(
        self, name: str, form: str = "jpeg", *, overlay: bool = True, opacity: float = 0.5
    ) -> bytes:
        """Return the newest picture as "jpeg", its mask as "png", or its numbers as "json"."""
        painted = {"overlay": str(overlay).lower(), "opacity": str(opacity)}
        answer = await self._send("GET", _path(name, "snapshot"), params={"format": form} | painted)
        return answer.content

    async def events(self, name: str, seen: int = 0) -> AsyncGenerator[CameraEvent]:
        """Yield a camera's events, beginning with those after the event ``seen``; end when the
        camera is removed."""
        headers = {"Last-Event-ID": str(seen)}
        with web_errors(self._url):
            path = _path(name, "events")
            async with self._http.stream("GET", path, headers=headers) as answer:
                if answer.is_error:
                    await answer.aread()
                async for event in events_of(checked_answer(answer, self._url).aiter_lines()):
                    yield event

    async def watch(
        self,
        name: str,
        *,
        output: MaskEncoding | str = MaskEncoding.PNG,
        size: MaskSize | str = MaskSize.INPUT,
        overlay: bool = False,
        opacity: float | None = None,
        decode: bool = True,
        reconnect: bool | Backoff = True,
        on_event: OnViewerEvent | None = None,
    ) -> AsyncGenerator[Mask]:
        """Yield a camera's masks as they are made, the newest first; end when it is removed.

        A viewer that reads too slowly loses masks. ``round_trip`` is NaN, and ``frame`` has the
        overlay, if it was requested, as its picture. If the connection is lost, or the server
        restarts, the viewer connects again unless ``reconnect`` is false, and ``on_event`` receives
        a Lost for each attempt and a Returned for its success. After a restart of the server, or a
        takeover by another server, seq and pts of a camera start anew; a file continues where it
        was, and some of its masks may arrive twice.
        """
        request = Open(
            output=MaskEncoding(output), size=MaskSize(size), overlay=overlay, opacity=opacity
        )
        address = stream_address(self._url + _path(name, "masks"))
        once = partial(view, address, request, decode, self._headers)
        backoff = reconnect if isinstance(reconnect, Backoff) else Backoff()
        watched = Viewing(once, backoff, on_event).masks() if reconnect else once(lambda _: None)
        async with aclosing(watched) as masks:
            async for mask in masks:
                yield mask

    async def _json(self, method: str, name: str, **content: Any) -> Any:
        answer = await self._send(method, _path(name), **content)
        return json_of(answer.content)

    async def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        with web_errors(self._url):
            answer = await self._http.request(method, path, **content)
            return checked_answer(answer, self._url)


def _path(name: str, part: str = "") -> str:
    names = [quote(one, safe="") for one in (name, part) if one]
    return "/".join(["/v1/streams", *names])
