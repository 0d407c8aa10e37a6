"""/v1/streams: add, list, pause and remove pulled streams; watch their masks, pictures, events."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.requests import HTTPConnection

import protocol
from protocol import SUBPROTOCOL, MaskEncoding, MaskSize
from server.errors import BadRequest, MastreamError, NotFound
from server.security.callers import Caller
from server.sinks.areas import areas
from server.streams.ending import Ending, ending_of
from server.streams.live_streams import NO_STREAM
from server.streams.pulled import PulledStream
from server.streams.renditions import PictureForm
from server.web.access.auth import caller_of, client_of
from server.web.live.body import (
    NAME,
    StreamBody,
    StreamChange,
    StreamElsewhere,
    StreamPage,
    StreamRequest,
    stream_body,
)
from server.web.live.pictures import BOUNDARY, first_mask, preview
from server.web.live.service import LiveService
from server.web.live.viewer_socket import ViewerSocket
from server.web.problems import PROBLEMS
from server.web.socket_ending import send_ending

AGE_HEADER = "Mastream-Mask-Age"
"""The seconds since a snapshot's picture arrived."""


def _live(request: Request) -> LiveService:
    live: LiveService = request.app.state.service.live
    return live


def _check_owner(connection: HTTPConnection) -> None:
    """Raise NotFound if a stream is another key's. Sockets are checked when they are accepted."""
    name = connection.path_params.get("name")
    if name is not None and connection.scope["type"] == "http":
        live: LiveService = connection.app.state.service.live
        caller = caller_of(connection)
        reads = connection.scope["method"] in ("GET", "HEAD")
        may = partial(caller.watches, name) if reads else caller.owns
        if not may(live.streams.find(name, may).definition.owner):
            raise NotFound(NO_STREAM.format(name))


def _watches(caller: Caller, stream: PulledStream) -> bool:
    return caller.watches(stream.definition.name, stream.definition.owner)


router = APIRouter(
    prefix="/v1/streams",
    tags=["streams"],
    responses=PROBLEMS,
    dependencies=[Depends(_check_owner)],
)

LiveOf = Annotated[LiveService, Depends(_live)]
Name = Annotated[str, Path(pattern=NAME)]
Overlay = Annotated[bool, Query(description="paint the mask over the picture")]
Opacity = Annotated[float, Query(ge=0, le=1)]

_JPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}}
}
_MJPEG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"multipart/x-mixed-replace": {"schema": {"type": "string"}}}}
}


@router.post("", status_code=201)
async def add_stream(
    request: Request, response: Response, live: LiveOf, asked: StreamRequest
) -> StreamBody:
    """Pull a stream from now on, across restarts."""
    definition = replace(
        asked.definition(live.settings, live.guard.rules), owner=caller_of(request).id
    )
    stream = await live.streams.add(definition)
    body = stream_body(stream, request.url_for)
    response.headers["Location"] = body.links["self"]
    return body


@router.get("")
async def list_streams(request: Request, live: LiveOf) -> StreamPage:
    """List this server's streams, oldest first, and the addresses of other servers' streams."""
    caller = caller_of(request)
    seen = (one for one in live.streams.all() if _watches(caller, one))
    others = live.streams.whereabouts.elsewhere()
    return StreamPage(
        streams=[stream_body(one, request.url_for) for one in seen],
        elsewhere=[
            StreamElsewhere(name=place.name, server=url)
            for place, url in others
            if caller.watches(place.name, place.key)
        ],
    )


@router.get("/{name}")
async def get_stream(request: Request, live: LiveOf, name: Name) -> StreamBody:
    """Return one pulled stream: its state, rates and links."""
    return stream_body(live.streams.find(name), request.url_for)


@router.patch("/{name}")
async def change_stream(
    request: Request, live: LiveOf, name: Name, change: StreamChange
) -> StreamBody:
    """Pause or resume a stream; `paused: false` also resumes one that has ended or failed."""
    stream = live.streams.find(name)
    if change.record is not None:
        stream.record(change.record)
    if change.paused is not None:
        stream = await live.streams.pause(name, change.paused)
    return stream_body(stream, request.url_for)


@router.delete("/{name}", status_code=204)
async def remove_stream(live: LiveOf, name: Name) -> None:
    """Remove a stream. Its source and its viewers' sockets are closed."""
    await live.streams.remove(name)


@router.get("/{name}/preview", response_class=StreamingResponse, responses=_MJPEG)
async def preview_stream(
    request: Request, live: LiveOf, name: Name, overlay: Overlay = True, opacity: Opacity = 0.5
) -> Response:
    """Send the pictures as they arrive, as motion JPEG for a plain `<img>`.

    While none arrives, the last one is sent again every few seconds, with its age written on it.
    """
    stream, client = live.streams.find(name), client_of(request)
    live.watching.check(client)
    form = PictureForm(overlay, opacity)
    return StreamingResponse(
        preview(live, stream, form, client),
        media_type=f"multipart/x-mixed-replace; boundary={BOUNDARY}",
        headers={"Cache-Control": "no-store"},
    )


@router.get("/{name}/snapshot", responses=_JPEG)
async def snapshot_stream(
    live: LiveOf,
    name: Name,
    form: Annotated[Literal["jpeg", "png", "json"], Query(alias="format")] = "jpeg",
    overlay: Overlay = True,
    opacity: Opacity = 0.5,
) -> Response:
    """Return the newest picture as JPEG, its mask as palette PNG, or the mask's numbers as JSON.

    `Mastream-Mask-Age` is the seconds since the picture arrived: it is old while the camera is
    away. The JSON has the same as `age`, and the stream's `state`.
    """
    stream = live.streams.find(name)
    mask = await first_mask(stream)
    renditions = live.renditions(stream)
    age = round(time.monotonic() - mask.frame.arrived, 3)
    headers = {"Cache-Control": "no-store", AGE_HEADER: f"{age:.3f}"}
    if form == "jpeg":
        picture = await renditions.picture(mask, PictureForm(overlay, opacity))
        return Response(picture, media_type="image/jpeg", headers=headers)
    message = await renditions.message(mask, _PNG)
    header, payload = protocol.unpack_mask(message, len(message))
    if form == "png":
        return Response(payload, media_type="image/png", headers=headers)
    names = [one.name for one in live.spec.classes]
    now_is = {"age": age, "state": stream.supervised.state.value}
    numbers = header.to_dict() | {"areas": areas(mask.labels, names)} | now_is
    return Response(json.dumps(numbers), media_type="application/json", headers=headers)


@router.get("/{name}/events", response_class=EventSourceResponse)
async def watch_stream(
    live: LiveOf,
    name: Name,
    seen: Annotated[int, Header(alias="Last-Event-ID")] = 0,
) -> AsyncIterator[ServerSentEvent]:
    """Send changes of state and resets of the memory, as server-sent events."""
    stream = live.streams.find(name)
    while news := await stream.news_after(seen):
        for one in news:
            yield ServerSentEvent(data=dict(one.data), event=one.kind, id=str(one.id))
        seen = news[-1].id


@router.websocket("/{name}/masks")
async def view_stream(socket: WebSocket, name: str) -> None:
    """Send the masks of a stream, to any number of viewers."""
    offered = socket.scope["subprotocols"]
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in offered else None)
    service = socket.app.state.service
    seconds = service.settings.streams.slow_seconds
    try:
        live: LiveService = service.live
        if offered and SUBPROTOCOL not in offered:
            raise BadRequest(f"Offer the sub-protocol {SUBPROTOCOL}, or none.")
        live.streams.check_open()
        caller = caller_of(socket)
        stream = live.streams.find(name, partial(caller.watches, name))
        if not _watches(caller, stream):
            raise NotFound(NO_STREAM.format(name))
        live.watching.check(client_of(socket))
    except MastreamError as error:
        service.metrics.rejected(error.code)
        await send_ending(socket, ending_of(error, path=socket.url.path), seconds)
        return
    viewer = ViewerSocket(socket, stream, live.renditions(stream), live.viewers)
    with live.watching.hold(client_of(socket)):
        last: Ending | None = await viewer.run()
    if last:
        await send_ending(socket, last, seconds)


_PNG = protocol.Open(output=MaskEncoding.PNG, size=MaskSize.INPUT)
