"""The parts that exist from the start, each made from its settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from server.admission import Limit, Pace, Places, Rate
from server.dialling.dial import Guard
from server.engines.base import Engine
from server.fair_pace import FairPace
from server.metrics import Metrics
from server.plans.upgrade import BuildTools, Upgrade
from server.recordings.folder import Recordings
from server.security.addresses import address_rules
from server.security.exposure import Access, access
from server.security.sealing import Seal
from server.security.secret import server_secret
from server.settings import LimitSettings, Settings
from server.sources.hardware import Hardware
from server.sources.holding import Pictures
from server.streams.byte_budget import ByteBudget
from server.streams.resuming import Resuming
from server.telemetry.choosing import make_tracing
from server.threads import PicturePool
from server.web.access.keyring import Keyring
from server.web.access.token_verifier import token_verifier
from server.web.stream_services import StreamServices
from server.web.streams import Streams
from server.workers.fleet import Fleet
from server.workers.worker import Worker

if TYPE_CHECKING:
    from server.telemetry.tracing import Tracing


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the service before the model is loaded."""

    metrics: Metrics
    access: Access
    keyring: Keyring
    seal: Seal
    guard: Guard
    worker: Fleet
    uploading: Places
    upgrade: Upgrade
    pool: PicturePool
    recordings: Recordings
    budget: ByteBudget
    pictures: Pictures
    resuming: Resuming
    streams: Streams
    fair_pace: FairPace
    tracing: Tracing | None


def make_parts(
    settings: Settings,
    makers: Sequence[Callable[[], Engine]],
    build_tools: BuildTools | None,
    hardware: Callable[[], Hardware | None],
    elsewhere: Callable[[], str | None],
) -> Parts:
    """Return the parts; each of ``makers`` makes one engine, ``hardware`` returns the GPU that
    decodes once it is known, and ``elsewhere`` the stream socket of a server that has room."""
    metrics, who, limits = Metrics(), access(settings.host, settings.security), settings.limits
    worker = _fleet(settings, makers, metrics)
    recordings = _recordings(settings, metrics)
    pictures = Pictures()
    budget = _budget(settings, recordings, pictures, metrics)
    resuming = Resuming(worker, settings.streams, metrics)
    worker.make_room = resuming.make_room
    upgrade = Upgrade(worker, settings.engine, build_tools)
    metrics.watch_plan(lambda: upgrade.status)
    pool = PicturePool(os.cpu_count() or 1)
    tracing, fair_pace = make_tracing(settings.telemetry), FairPace()
    shared = StreamServices(
        worker,
        pool,
        metrics,
        settings.streams,
        budget,
        hardware,
        recordings,
        Rate("pixels", limits.key_pixels_per_second, limits.pixels_per_second),
        Pace(limits.key_bytes_per_second),
        fair_pace,
        elsewhere,
        resuming,
        tracing,
    )
    return Parts(
        metrics=metrics,
        access=who,
        keyring=_keyring(settings, who),
        seal=Seal(partial(server_secret, settings.folder, settings.security)),
        guard=_guard(settings, who),
        worker=worker,
        uploading=_uploading(limits),
        upgrade=upgrade,
        pool=pool,
        recordings=recordings,
        budget=budget,
        pictures=pictures,
        resuming=resuming,
        streams=Streams(shared),
        fair_pace=fair_pace,
        tracing=tracing,
    )


def _fleet(settings: Settings, makers: Sequence[Callable[[], Engine]], metrics: Metrics) -> Fleet:
    most = settings.streams.max_sessions
    workers = [
        Worker(
            make,
            max_sessions=most,
            step_deadline=settings.engine.step_deadline,
            background_share=settings.videos.share,
            metrics=metrics,
        )
        for make in makers
    ]
    return Fleet(workers, max_sessions=most, key_sessions=settings.limits.key_sessions)


def _recordings(settings: Settings, metrics: Metrics) -> Recordings:
    recordings = Recordings(
        settings.folder / "recordings",
        settings.streams,
        on_bytes=metrics.recorded,
        on_end=metrics.recording_ended,
    )
    metrics.watch_recordings(lambda: recordings.running)
    return recordings


def _budget(
    settings: Settings, recordings: Recordings, pictures: Pictures, metrics: Metrics
) -> ByteBudget:
    """Return the byte budget that pushed streams, recordings and the pictures of pulled streams
    share."""
    budget = ByteBudget(
        settings.streams.total_bytes, lambda: recordings.waiting_bytes + pictures.all.nbytes
    )
    pictures.is_spent = lambda: budget.is_spent
    metrics.watch_held(lambda: budget.total)
    return budget


def _guard(settings: Settings, who: Access) -> Guard:
    live = settings.live
    return Guard(address_rules(live.networks, live.hosts, is_local=who is Access.LOCAL))


def _uploading(limits: LimitSettings) -> Places:
    return Places(Limit("uploads", limits.key_uploads, limits.uploads))


def _keyring(settings: Settings, who: Access) -> Keyring:
    """Return the keyring, still without rows. Its secret is created only if keys are required."""
    if who is not Access.KEYS:
        return Keyring(b"", settings.security.session_seconds)
    pepper = server_secret(settings.folder, settings.security)
    return Keyring(
        pepper, settings.security.session_seconds, tokens=token_verifier(settings.security.oidc)
    )
