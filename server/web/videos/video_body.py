"""The JSON object that describes a video in /v1/videos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field
from starlette.datastructures import URL

from server.database.video_record import VideoRecord, VideoState
from server.sinks.recorder import ARTEFACTS
from server.sources.cuts import Uncut
from server.videos.progress import Video
from server.videos.unfinished import UNFINISHED
from server.web.problems import PROBLEM_CONTENT, Problem
from server.web.videos.listing_body import ListingBody
from server.web.videos.outputs import BY_COMMA, LISTS, PARAMETERS, SCHEMAS
from server.web.videos.summary_body import LossesBody, SummaryBody

Artefact = Annotated[str, Field(json_schema_extra={"enum": [*ARTEFACTS]})]

UrlFor = Callable[..., URL]
"""Starlette's ``request.url_for``."""


class ProgressBody(BaseModel):
    """The progress of a video."""

    frames_done: int
    frames_total: int | None = Field(description="null if unknown before decoding")
    fps: float | None = Field(description="mean frames per second since it was started")
    eta_s: float | None = Field(description="seconds left at this speed")


class SourceBody(BaseModel):
    """The uploaded video as its container describes it; sizes are those after rotation."""

    width: int = Field(description="pixels, of the results too")
    height: int
    display_width: int = Field(description="width with square pixels, as players show it")
    display_height: int
    pixel_aspect: str = Field(
        description="a pixel's width divided by its height, such as 64/45; 1 if square",
        examples=["1"],
    )
    frames: int | None
    duration: float | None = Field(description="seconds, including the last picture")
    rate: float = Field(description="mean frames per second")
    rotation: int = Field(description="degrees clockwise, already applied")
    hdr: str | None = Field(description="pq or hlg, which is tone-mapped to BT.709; else null")
    codec: str


class PiecesBody(BaseModel):
    """The pieces that a video is segmented in; a crash costs only those that were not finished."""

    total: int
    uncut: Uncut | None = Field(description="why it is one piece; null if it has several")


class VideoBody(BaseModel):
    """One uploaded video."""

    id: str
    name: str
    state: VideoState
    model: str
    bytes: int
    source: SourceBody
    artefacts: list[Artefact] = Field(description="those requested, and the poster")
    classes: list[str] | None = Field(description="those drawn and listed; null for all")
    opacity: float = Field(description="opacity of the overlay, 0 to 1")
    progress: ProgressBody
    pieces: PiecesBody | None = Field(description="null before they are planned")
    paused: str | None = Field(description="why a running video waits; null if it does not")
    losses: LossesBody | None = Field(description="null before the video is decoded")
    error: Problem | None = Field(description="why it failed")
    created: datetime
    started: datetime | None
    ended: datetime | None
    expires: datetime | None = Field(description="when it is removed; null if that is unknown")
    links: dict[str, str] = Field(
        description="self, events, source while the upload is kept and, once the video has "
        "succeeded, each artefact by its name; overlay.mp4 and poster.jpg also while it runs, from "
        "its first mask on"
    )


class VideoPage(BaseModel):
    """A page of videos, newest first."""

    videos: list[VideoBody]
    next: str | None = Field(description="``cursor`` of the next page; null on the last")


def video_body(video: Video, url_for: UrlFor) -> VideoBody:
    """Return a video as its JSON object, with links made by ``url_for``."""
    record, info, progress = video.record, video.record.info, video.progress
    return VideoBody(
        id=record.id,
        name=record.name,
        state=record.state,
        model=record.model,
        bytes=record.size,
        source=SourceBody(
            width=info.width,
            height=info.height,
            display_width=info.display_size[1],
            display_height=info.display_size[0],
            pixel_aspect=str(info.pixel_aspect),
            frames=info.frames,
            duration=info.duration,
            rate=float(info.rate),
            rotation=info.rotation,
            hdr=info.hdr,
            codec=info.codec,
        ),
        artefacts=list(record.artefacts),
        classes=None if record.style.classes is None else list(record.style.classes),
        opacity=record.style.opacity,
        progress=ProgressBody(
            frames_done=progress.frames_done,
            frames_total=progress.frames_total,
            fps=progress.fps,
            eta_s=progress.eta_s,
        ),
        pieces=_pieces(record),
        paused=video.paused,
        losses=None if record.losses is None else LossesBody(**asdict(record.losses)),
        error=None if record.problem is None else Problem(**record.problem),
        created=_time(record.created),
        started=None if record.started is None else _time(record.started),
        ended=None if record.ended is None else _time(record.ended),
        expires=None if video.expires is None else _time(video.expires),
        links=_links(video, url_for),
    )


def _pieces(record: VideoRecord) -> PiecesBody | None:
    if record.pieces is None:
        return None
    return PiecesBody(
        total=record.pieces, uncut=None if record.uncut is None else Uncut(record.uncut)
    )


def path_of(video: str, url_for: UrlFor) -> str:
    return url_for("get_video", video=video).path


def _links(video: Video, url_for: UrlFor) -> dict[str, str]:
    record = video.record
    links = {
        "self": path_of(record.id, url_for),
        "events": url_for("watch_video", video=record.id).path,
    }
    if video.has_source:
        links["source"] = url_for("get_source", video=record.id).path
    for name in _readable(video):
        links[name] = url_for("get_artefact", video=record.id, name=name).path
    return links


def _readable(video: Video) -> list[str]:
    """Return the artefacts that can already be read."""
    record = video.record
    if record.state is VideoState.RUNNING and video.progress.frames_done:
        return [name for name in record.artefacts if name in UNFINISHED]
    return list(record.artefacts) if record.state is VideoState.SUCCEEDED else []


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


_FILE = {"schema": {"type": "string", "format": "binary"}}

MEDIA_TYPES = {
    "masks.mkv": "video/x-matroska",
    "overlay.mp4": "video/mp4",
    "masks.zip": "application/zip",
    "summary.json": "application/json",
    "masks.json": "application/json",
    "classes.csv": "text/csv",
    "poster.jpg": "image/jpeg",
}

INLINE = frozenset({"overlay.mp4", "poster.jpg"})
"""Artefacts that browsers show instead of saving them."""

UPLOAD: dict[str, Any] = {
    "parameters": PARAMETERS,
    "requestBody": {
        "required": True,
        "description": "the video, raw or as the only file of a form",
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "properties": {"file": _FILE["schema"], **SCHEMAS},
                },
                "encoding": dict.fromkeys(LISTS, BY_COMMA),
            },
            "video/*": _FILE,
            "application/octet-stream": _FILE,
        },
    },
}
"""The description of the upload that FastAPI cannot infer: comma-separated lists, and a body that
the route itself reads."""

FILE_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "the file", "content": {"video/*": _FILE}},
    206: {"description": "the part that Range requests"},
    304: {"description": "unchanged according to If-None-Match or If-Modified-Since"},
    412: {"description": "If-Match or If-Unmodified-Since does not hold"} | PROBLEM_CONTENT,
    416: {"description": "no part that Range requests is in the file"} | PROBLEM_CONTENT,
}

ARTEFACT_ANSWERS: dict[int | str, dict[str, Any]] = FILE_ANSWERS | {
    200: {
        "description": "the file",
        "model": SummaryBody | ListingBody,
        "content": {kind: _FILE for kind in MEDIA_TYPES.values() if kind != "application/json"},
    },
}

ARTEFACT_CONDITIONS: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}
        for name in (
            "If-Match",
            "If-None-Match",
            "If-Modified-Since",
            "If-Unmodified-Since",
            "Range",
            "If-Range",
        )
    ]
}

EVENT_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "the video, as the data of one event after each change, until it has ended",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    },
    204: {"description": "it has ended and Last-Event-ID is its last event: do not reconnect"},
}
