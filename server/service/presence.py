"""What this server reports to the others that share its database."""

from __future__ import annotations

import socket

from server.database.owners import Presence
from server.settings import Settings
from server.workers.fleet import Fleet


def presence(settings: Settings, fleet: Fleet, videos: str, is_draining: bool) -> Presence:
    """Return the address, the machine, the model and the free places of this server; ``videos`` is
    the name of the folder whose videos it has."""
    sessions = sum(worker.sessions for worker in fleet.workers)
    return Presence(
        url=settings.cluster.advertise,
        node=settings.cluster.node or socket.gethostname(),
        model=fleet.spec.name,
        sessions=sessions,
        room=max(0, settings.streams.max_sessions - sessions) if fleet.ready else 0,
        draining=is_draining,
        videos=videos,
    )
