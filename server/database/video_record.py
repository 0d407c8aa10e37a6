"""The record of an uploaded video, and the states that it passes through.

queued -> running -> succeeded | failed
  ^         |
  |         +-> queued again (nobody works on it: the servers that did were drained, or died)
  +-> cancelled, from queued or running
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from server.frame import Losses, VideoInfo
from server.sinks.style import DEFAULT, Style


class VideoState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self not in ACTIVE


ACTIVE = frozenset({VideoState.QUEUED, VideoState.RUNNING})


@dataclass(frozen=True, slots=True)
class VideoRecord:
    """One uploaded video as last stored.

    ``key`` is the client's idempotency key and ``fingerprint`` identifies the request made with it;
    ``attempts`` counts how often it went from queued to running and not back; ``problem`` is the
    RFC 9457 object of a failure; ``losses`` are the losses in decoding, None before they are known.
    ``frames_done`` are those of all pieces, as last reported; ``spent`` is how many seconds it was
    segmented before ``started``, and ``progressed`` when a piece was last finished since then.
    ``pieces`` is their number, ``uncut`` why there is only one, and ``planned_for`` identifies the
    model and settings of the plan, all None before the video is planned. ``style`` says how the
    artefacts show the masks; ``stored`` is how many bytes the files of a video that has ended hold;
    ``owner`` is the id of the API key that uploaded it, empty if none was required. ``server`` is
    the name of the folder that has the files: that of its server, unless several share it.
    ``results`` is the name of the folder with the valid results.
    """

    id: str
    name: str
    model: str
    size: int
    info: VideoInfo
    artefacts: tuple[str, ...]
    fingerprint: str
    created: float = 0.0
    key: str | None = None
    state: VideoState = VideoState.QUEUED
    frames_done: int = 0
    attempts: int = 0
    problem: Mapping[str, Any] | None = None
    started: float | None = None
    ended: float | None = None
    losses: Losses | None = None
    style: Style = DEFAULT
    stored: int = 0
    owner: str = ""
    spent: float = 0.0
    pieces: int | None = None
    uncut: str | None = None
    planned_for: str | None = None
    server: str = ""
    results: str = "results"
    progressed: float | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A video as quotas count it: the bytes of its files (of its upload alone until it has ended),
    when it ended, in seconds since the epoch, None before, and the folder of its results."""

    id: str
    nbytes: int
    ended: float | None
    results: str = "results"


@dataclass(frozen=True, slots=True)
class Standing:
    """The remaining work for a video that has not ended: whether it is planned, and for what;
    whether the work on all of it can be taken; how many of its pieces can be taken, are held and
    are done, of how many; and for how many seconds nobody has had any of them."""

    id: str
    planned_for: str | None
    whole_is_free: bool
    free: int
    held: int
    done: int
    total: int
    untouched: float


def new_id(now: float) -> str:
    """Return an unguessable id (80 random bits) that sorts by the millisecond of its creation."""
    return f"{int(now * 1000):012x}{secrets.token_hex(10)}"
