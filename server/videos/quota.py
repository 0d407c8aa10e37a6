"""Which videos and pieces are removed, and whether another video is accepted. Pure: time is passed
in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from server.database.video_record import Kept, VideoRecord, VideoState

LINGER_SECONDS = 60.0
"""For how many seconds the pieces of a video that has succeeded stay in a shared folder after its
end, and after they were last read on any server; servers record reads much more often.

Both times are those of the servers that wrote them: clocks must agree within some seconds."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Limits on all videos together, and for how many seconds a video is kept after its end; None:
    no limit.

    ``oldest_first`` removes ended videos to make room, in the order of their ends; otherwise
    further videos are refused.
    """

    max_videos: int | None = None
    max_bytes: int | None = None
    ttl: float | None = None
    oldest_first: bool = False


def expired(videos: Sequence[Kept], quota: Quota, now: float) -> list[str]:
    """Return the ids of the videos whose time is up."""
    ttl = quota.ttl
    if ttl is None:
        return []
    return [one.id for one in videos if one.ended is not None and one.ended + ttl <= now]


def fits(videos: Sequence[Kept], quota: Quota, size: int) -> bool:
    """Return whether one more video of ``size`` bytes is accepted: it fits, or would fit after the
    removal of all that may be removed."""
    kept = [one for one in videos if one.ended is None] if quota.oldest_first else videos
    return _within(len(kept) + 1, sum(one.nbytes for one in kept) + size, quota)


def surplus(videos: Sequence[Kept], quota: Quota, spared: str) -> list[str]:
    """Return the ids of the ended videos to remove so that the rest is within the quota, the first
    to end first; never ``spared``, and none unless ``oldest_first``."""
    removable = sorted(
        (one.ended, one.id, one.nbytes)
        for one in videos
        if one.ended is not None and one.id != spared
    )
    count, nbytes = len(videos), sum(one.nbytes for one in videos)
    removed: list[str] = []
    for _, video, freed in removable if quota.oldest_first else ():
        if _within(count, nbytes, quota):
            break
        removed.append(video)
        count, nbytes = count - 1, nbytes - freed
    return removed


def lingers(video: VideoRecord, viewed: float | None, now: float) -> bool:
    """Return whether the pieces of a video may still be read on another server, because it has just
    succeeded, or was just ``viewed``."""
    if video.state is not VideoState.SUCCEEDED or video.ended is None:
        return False
    return now - max(video.ended, viewed or 0.0) < LINGER_SECONDS


def lingering(videos: Sequence[Kept], now: float) -> list[str]:
    """Return the ids of the videos whose pieces may have to be removed: they ended long enough ago,
    and not so long ago that the pieces have been removed, unless they were read since."""
    return [
        one.id
        for one in videos
        if one.ended is not None and LINGER_SECONDS <= now - one.ended < 10 * LINGER_SECONDS
    ]


def _within(count: int, nbytes: int, quota: Quota) -> bool:
    too_many = quota.max_videos is not None and count > quota.max_videos
    too_large = quota.max_bytes is not None and nbytes > quota.max_bytes
    return not too_many and not too_large
