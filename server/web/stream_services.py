"""What all stream sockets share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from server.admission import Pace, Rate
from server.fair_pace import FairPace
from server.metrics import Metrics
from server.recordings.folder import Recordings
from server.settings import StreamSettings
from server.sources.hardware import Hardware
from server.streams.byte_budget import ByteBudget
from server.streams.resuming import Resuming
from server.threads import PicturePool
from server.workers.serving import Serving

if TYPE_CHECKING:
    from server.telemetry.tracing import Tracing


@dataclass(frozen=True, slots=True)
class StreamServices:
    """What all stream sockets share."""

    worker: Serving
    pool: PicturePool
    metrics: Metrics
    settings: StreamSettings
    budget: ByteBudget
    hardware: Callable[[], Hardware | None] = lambda: None
    """The GPU that decodes, once it is known."""
    recordings: Recordings | None = None
    pixels: Rate = field(default_factory=lambda: Rate("pixels"))
    """The pixels that clients may push per second."""
    pace: Pace = field(default_factory=Pace)
    """The maximum rate at which each client is read."""
    fair_pace: FairPace = field(default_factory=FairPace)
    """The rate at which clients are read while the event loop is late."""
    elsewhere: Callable[[], str | None] = lambda: None
    """The stream socket of a server that has room, if one is known."""
    resuming: Resuming | None = None
    """The sessions that can be resumed; None: only those of the same socket."""
    tracing: Tracing | None = None
    """Traces frames; None: nothing is traced."""
