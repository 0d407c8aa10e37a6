"""The services that all jobs of videos share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from server.settings import VideoSettings
from server.sources.hardware import Hardware
from server.sources.sandbox.decoder import Sandbox
from server.sources.sandbox.probe_process import Prober
from server.threads import ThreadRunner
from server.videos.disk_space import DiskSpace
from server.videos.durable_ledger import OnPiece, OnTaken
from server.videos.files import VideoFiles
from server.workers.serving import Serving

if TYPE_CHECKING:
    from server.telemetry.tracing import Tracing

FORMAT = 2
"""Increased whenever the format of parts of pieces changes, so that those of an older version are
not continued."""


@dataclass(frozen=True, slots=True)
class Services:
    """The services that all jobs share."""

    worker: Serving
    files: VideoFiles
    disk: ThreadRunner
    space: DiskSpace
    settings: VideoSettings
    hardware: Hardware | None
    clock: Callable[[], float]
    tracing: Tracing | None = None
    sandbox: Sandbox | None = None
    prober: Prober | None = None
    on_piece: OnPiece = lambda _: None
    on_taken: OnTaken = lambda _: None

    def signature(self) -> str:
        """Return a signature that must be equal for pieces planned by one server to be segmented by
        another, or by a later process of the same server."""
        spec = self.worker.spec
        model = (spec.name, spec.fingerprint, spec.height, spec.width, spec.memory_horizon)
        made = [FORMAT, model, self.settings.piece_frames]
        return hashlib.sha256(json.dumps(made).encode()).hexdigest()
