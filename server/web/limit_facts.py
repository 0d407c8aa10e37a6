"""The sources of the limits and counts of /v1/capacity."""

from __future__ import annotations

from collections.abc import Callable

from server.admission import Places
from server.settings import Settings
from server.web.capacity import LimitFacts
from server.web.live.service import LiveService
from server.workers.fleet import Fleet


def limit_facts(
    settings: Settings,
    fleet: Fleet,
    live: Callable[[], LiveService | None],
    uploading: Places,
    jobs: Callable[[], int],
    held: Callable[[], int],
) -> dict[str, LimitFacts]:
    """Return the limits of admission, with the sources of their counts.

    ``live`` returns None until the model is loaded; ``jobs`` may block.
    """
    limits, streams = settings.limits, settings.streams

    def sessions() -> int:
        return sum(worker.sessions for worker in fleet.workers)

    def sessions_of(client: str) -> int:
        return sum(worker.sessions_of(client) for worker in fleet.workers)

    def pulled() -> int:
        return len(found.streams) if (found := live()) else 0

    def viewers() -> int:
        return found.watching.used if (found := live()) else 0

    def viewers_of(client: str) -> int:
        return found.watching.used_by(client) if (found := live()) else 0

    return {
        "sessions": LimitFacts(streams.max_sessions, limits.key_sessions, sessions, sessions_of),
        "streams": LimitFacts(settings.live.max_streams, limits.key_streams, pulled),
        "viewers": LimitFacts(limits.viewers, limits.key_viewers, viewers, viewers_of),
        "uploads": LimitFacts(
            limits.uploads, limits.key_uploads, lambda: uploading.used, uploading.used_by
        ),
        "jobs": LimitFacts(settings.videos.max_jobs, limits.key_jobs, jobs),
        "bytes": LimitFacts(streams.total_bytes, None, held),
    }
