"""What all pulled streams share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from server.dialling.dial import Guard
from server.recordings.folder import Recordings
from server.streams.pulled_source import OpenSource
from server.streams.states import Rules
from server.workers.serving import Serving


@dataclass(frozen=True, slots=True)
class PulledServices:
    """The services that all pulled streams share. ``clock`` is monotonic, ``wall`` the time of day,
    both in seconds; ``random`` returns a number in 0..1. ``reconnected`` is called for every
    connection after a stream's first, ``published`` in any thread: see Publisher. ``guard`` decides
    which addresses may be opened."""

    worker: Serving
    open_source: OpenSource
    rules: Rules
    clock: Callable[[], float]
    wall: Callable[[], float]
    random: Callable[[], float]
    reconnected: Callable[[], None] = lambda: None
    published: Callable[[str], None] = lambda _: None
    recordings: Recordings | None = None
    guard: Guard | None = None
