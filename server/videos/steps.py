"""What a server does next for the videos of its folder. Pure: rows in, a decision out.

plan (one server) -> segment (any number of servers, piece by piece) -> join (one server)

Servers that share a folder decide alone, from the same rows; who is first takes a piece, and the
others find something else to do.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum

from server.database.video_record import Standing


class Step(Enum):
    PLAN = "plan"
    SEGMENT = "segment"
    JOIN = "join"


def step_of(video: Standing, signature: str) -> Step | None:
    """Return what can be done now for a video by a server that plans videos for ``signature``;
    None: others do all there is.

    A video that was planned for something else, by a server with another model or other settings,
    is planned again if nobody segments it.
    """
    if video.planned_for != signature or not video.total:
        return Step.PLAN if video.whole_is_free and not video.held else None
    if video.free:
        return Step.SEGMENT
    is_joinable = video.done == video.total and video.whole_is_free
    return Step.JOIN if is_joinable else None


def first_to_do(
    videos: Iterable[Standing], signature: str, running: Collection[str]
) -> Standing | None:
    """Return the first video for which there is something to do, except those that run here
    already; None if there is none."""
    found = (one for one in videos if one.id not in running and step_of(one, signature))
    return next(found, None)


def is_idle(video: Standing) -> bool:
    """Return whether nobody works on a video at present."""
    return video.whole_is_free and not video.held


def others_work(videos: Iterable[Standing], running: Collection[str]) -> bool:
    """Return whether there is a video that others work on, and do not if they die."""
    return any(one.id not in running for one in videos)
