"""/v1/sources: which addresses the server may pull, and whether one of them works."""

from __future__ import annotations

import base64
from itertools import islice
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import cv2
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from server.frame import Frame, Pixels, host_pixels
from server.sinks.overlay import encode_jpeg
from server.streams.renditions import PAINT_SECONDS
from server.web.live.body import AnyUrl, StreamRequest
from server.web.live.service import LiveService
from server.web.problems import PROBLEMS

MOST_FILES = 100
"""Maximum number of files that are listed; others can be played by typing their addresses."""

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".ts", ".webm"})

THUMBNAIL = 480
"""The width in pixels of a tested address's picture."""

router = APIRouter(prefix="/v1/sources", tags=["streams"], responses=PROBLEMS)


class SourcesBody(BaseModel):
    """The sources that a stream may be pulled from."""

    schemes: list[str] = Field(description="schemes of the addresses that may be opened")
    files: list[str] | None = Field(
        description="addresses of videos in the folder that may be played, at most "
        f"{MOST_FILES}; null if the server plays no files"
    )


class SourceRequest(BaseModel):
    """An address to test."""

    model_config = ConfigDict(extra="forbid")

    url: AnyUrl = Field(description="as for a stream")


class SourceBody(BaseModel):
    """An address that works, with its first picture."""

    width: int
    height: int
    seconds: float = Field(description="seconds until the first picture")
    picture: str = Field(description="the first picture as JPEG, small, in a data: URL")


def _live(request: Request) -> LiveService:
    live: LiveService = request.app.state.service.live
    return live


LiveOf = Annotated[LiveService, Depends(_live)]


@router.get("")
async def list_sources(live: LiveOf) -> SourcesBody:
    """List the sources that a stream may be pulled from."""
    folder = live.settings.files
    files = None if folder is None else await run_in_threadpool(_files, folder)
    return SourcesBody(schemes=list(live.settings.schemes), files=files)


@router.post("/test")
async def test_source(live: LiveOf, asked: SourceRequest) -> SourceBody:
    """Open an address, return its first picture and close it again; nothing is kept."""
    request = StreamRequest(name="test", url=asked.url)
    wanted = request.definition(live.settings, live.guard.rules)
    trial = await live.trials.first_picture(wanted)
    height, width = trial.frame.size
    jpeg = await live.pool.run(PAINT_SECONDS, _thumbnail, trial.frame)
    return SourceBody(
        width=width,
        height=height,
        seconds=round(trial.seconds, 3),
        picture=f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}",
    )


def _thumbnail(frame: Frame) -> bytes:
    whole = frame.original
    picture: Pixels = host_pixels(frame.pixels) if whole is None else whole
    height, width = picture.shape[:2]
    if width > THUMBNAIL:
        size = (THUMBNAIL, max(1, round(height * THUMBNAIL / width)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype("uint8")
    return encode_jpeg(picture)


def _files(folder: Path) -> list[str]:
    """Return the addresses of the folder's own videos, sorted; none if it cannot be read."""
    try:
        videos = (one.name for one in folder.iterdir() if _is_video(one))
        return sorted(f"file:///{quote(name)}" for name in islice(videos, MOST_FILES))
    except OSError:
        return []


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()
