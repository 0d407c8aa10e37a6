"""/v1/server: the server's state, its free room and its limits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from server.settings import Settings
from server.web.problems import PROBLEMS


class Use(BaseModel):
    """How much of something is used, and how much there is in total."""

    used: int
    most: int


class Limits(BaseModel):
    """Limits of one request or stream."""

    video_bytes: int
    video_seconds: float
    picture_pixels: int = Field(description="pixels of one pushed picture")
    resume_seconds: float = Field(description="seconds that the session of a lost socket waits")


class ServerBody(BaseModel):
    """The current state of this server."""

    version: str
    uptime: float = Field(description="seconds since the start")
    ready: bool = Field(description="whether streams and videos are accepted")
    reasons: list[str] = Field(description="why it is not ready; empty if it is")
    sessions: Use = Field(description="streams with a memory, pushed and pulled")
    streams: Use = Field(description="pulled streams")
    videos: Use = Field(description="videos that wait or run")
    held_bytes: Use = Field(description="bytes of messages, pictures and masks in transit")
    masks: int = Field(description="masks made since the start")
    records: bool = Field(description="whether streams may be recorded")
    limits: Limits


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The sources of the numbers. ``videos`` may block; the others return at once."""

    settings: Settings
    version: str
    uptime: Callable[[], float]
    reasons: Callable[[], list[str]]
    sessions: Callable[[], int]
    streams: Callable[[], int]
    videos: Callable[[], int]
    held_bytes: Callable[[], int]
    masks: Callable[[], int]


def about_router(facts: ServerFacts) -> APIRouter:
    """Return the route."""
    router = APIRouter(prefix="/v1/server", tags=["server"], responses=PROBLEMS)

    @router.get("")
    async def get_server() -> ServerBody:
        """Return the server's state, its free room and its limits."""
        return _body(facts, await run_in_threadpool(facts.videos))

    return router


def _body(facts: ServerFacts, videos: int) -> ServerBody:
    settings, reasons = facts.settings, facts.reasons()
    streams, live = settings.streams, settings.live
    return ServerBody(
        version=facts.version,
        uptime=round(facts.uptime(), 1),
        ready=not reasons,
        reasons=reasons,
        sessions=Use(used=facts.sessions(), most=streams.max_sessions),
        streams=Use(used=facts.streams(), most=live.max_streams),
        videos=Use(used=videos, most=settings.videos.max_jobs),
        held_bytes=Use(used=facts.held_bytes(), most=streams.total_bytes),
        masks=facts.masks(),
        records=streams.record,
        limits=_limits(settings),
    )


def _limits(settings: Settings) -> Limits:
    return Limits(
        video_bytes=settings.videos.max_bytes,
        video_seconds=settings.videos.max_seconds,
        picture_pixels=settings.streams.max_pixels,
        resume_seconds=settings.streams.resume_seconds,
    )
