"""Pulled streams as their routes need them: the streams and the renditions of their masks."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakKeyDictionary

from models.spec import ModelSpec
from server.admission import Limit, Places
from server.dialling.dial import Guard
from server.metrics import Metrics
from server.recordings.folder import Recordings
from server.settings import LiveSettings, Settings
from server.sinks.publishing import PublishState
from server.sources.hardware import Hardware
from server.sources.holding import Pictures
from server.sources.sandbox.decoder import Sandbox
from server.streams.live_streams import LiveStreams
from server.streams.ownership import CAUSES, Ownership
from server.streams.pulled import PulledStream
from server.streams.pulled_services import PulledServices
from server.streams.pulled_source import source_opener
from server.streams.renditions import Renditions
from server.streams.states import Rules, StreamState
from server.streams.trial import Trials
from server.streams.whereabouts import STATES
from server.threads import PicturePool
from server.web.live.viewer_socket import ViewerServices
from server.workers.serving import Serving


@dataclass(slots=True)
class LiveService:
    """Mutable state: the renditions of each stream, made for its first viewer and forgotten with
    the stream, however it ends."""

    streams: LiveStreams
    trials: Trials
    settings: LiveSettings
    viewers: ViewerServices
    pool: PicturePool
    guard: Guard
    watching: Places
    """How many streams each client watches."""
    _renditions: WeakKeyDictionary[PulledStream, Renditions] = field(
        default_factory=WeakKeyDictionary
    )

    @property
    def spec(self) -> ModelSpec:
        """Return the model that is served."""
        return self.viewers.spec

    def renditions(self, stream: PulledStream) -> Renditions:
        """Return the renditions of a stream's masks, which all its viewers share."""
        if stream not in self._renditions:
            self._renditions[stream] = Renditions(self.pool, self.spec)
        return self._renditions[stream]


def live_service(
    worker: Serving,
    ownership: Ownership,
    pool: PicturePool,
    metrics: Metrics,
    settings: Settings,
    hardware: Hardware | None,
    sandbox: Sandbox | None,
    recordings: Recordings,
    guard: Guard,
    pictures: Pictures,
) -> LiveService:
    """Return the service of pulled streams, which hold ``pictures`` and are decoded in the
    ``sandbox``, if there is one; its ``streams`` must still be started."""
    most = settings.streams.max_pixels
    open_source = source_opener(settings.live, most, hardware, guard, pictures, sandbox)
    services = PulledServices(
        worker=worker,
        open_source=open_source,
        rules=rules_of(settings.live),
        clock=time.monotonic,
        wall=time.time,
        random=random.random,
        reconnected=metrics.source_reconnected,
        published=metrics.published,
        recordings=recordings,
        guard=guard,
    )
    limits, most = settings.limits, settings.live.max_streams
    streams = LiveStreams(services, ownership, Limit("streams", limits.key_streams, most))
    for state in StreamState:
        metrics.watch_sources(state.value, partial(streams.count, state))
    for lease in STATES:
        metrics.watch_leases("stream", lease, partial(streams.whereabouts.count, lease))
    metrics.expect_takeovers("stream", CAUSES)
    for publishing in PublishState:
        metrics.watch_publishers(publishing.value, partial(streams.count_publishers, publishing))
    return LiveService(
        streams,
        Trials(open_source, worker.spec, settings.live.connect_seconds),
        settings.live,
        ViewerServices(worker.spec, metrics, settings.streams),
        pool,
        guard,
        Places(Limit("viewers", limits.key_viewers, limits.viewers)),
    )


def rules_of(settings: LiveSettings) -> Rules:
    """Return the supervisor's times from the settings."""
    return Rules(
        connect=settings.connect_seconds,
        stall=settings.stall_seconds,
        give_up=settings.give_up_seconds,
        backoff=settings.backoff_seconds,
        longest_backoff=settings.longest_backoff_seconds,
        refused=settings.refused_seconds,
    )
