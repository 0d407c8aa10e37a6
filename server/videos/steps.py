"""A server's next step for the videos of its folder. Pure: rows in, a decision out.

plan (one server) -> segment (any number of servers, piece by piece) -> join (one server)

Servers that share a folder decide alone, from the same rows; the first one takes a piece, and the
others find other work.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum

from server.database.video_record import Standing


class Step(Enum):
    PLAN = "plan"
    SEGMENT = "segment"
    JOIN = "join"


def step_of(video: Standing, signature: str, patience: float = 0.0) -> Step | None:
    """Return the step that a server that plans videos for ``signature`` can do now for a video;
    None if others do all the work.

    A video that was planned for another signature, by a server with another model or other
    settings, is planned again once nobody has segmented any of it for ``patience`` seconds: a
    server that segments it has no piece for a moment after each one.
    """
    if not video.total:
        return Step.PLAN if video.whole_is_free else None
    if video.planned_for != signature:
        is_left = video.whole_is_free and not video.held and video.untouched >= patience
        return Step.PLAN if is_left else None
    if video.free:
        return Step.SEGMENT
    is_joinable = video.done == video.total and video.whole_is_free
    return Step.JOIN if is_joinable else None


def first_to_do(
    videos: Iterable[Standing], signature: str, but: Collection[str], patience: float = 0.0
) -> Standing | None:
    """Return the first video for which there is work, except those in ``but``, which already run
    here or are left to others; None if there is none."""
    found = (one for one in videos if one.id not in but and step_of(one, signature, patience))
    return next(found, None)


def is_idle(video: Standing) -> bool:
    """Return whether nobody works on a video at present."""
    return video.whole_is_free and not video.held


def others_work(videos: Iterable[Standing], running: Collection[str]) -> bool:
    """Return whether there is a video that others work on, which would need work if they died."""
    return any(one.id not in running for one in videos)
