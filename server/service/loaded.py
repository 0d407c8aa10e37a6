"""The parts that need the model and the database, in the order in which they start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from server.cluster.identity import server_name, videos_name
from server.cluster.lease import Terms
from server.cluster.membership import Membership, Times
from server.database.connection import Database
from server.database.keys import KeyRows
from server.database.owners import OwnerRows
from server.database.streams import StreamRows
from server.database.watching import watch
from server.errors import MastreamError
from server.security.exposure import Access, check_keys_exist
from server.service.parts import Parts
from server.service.presence import presence
from server.settings import ClusterSettings, Settings
from server.sources.hardware import Hardware
from server.sources.sandbox.decoder import Sandbox
from server.streams.ownership import Ownership
from server.videos.progress import Video
from server.videos.service import VideoService, video_service
from server.web.live.service import LiveService, live_service
from server.workers.fleet import Fleet

Render = Callable[[Video], bytes]
"""Returns the JSON that is sent by the callback at a video's end."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Loaded:
    """The parts that have started so far. Mutable state: each part, None until it has started."""

    database: Database | None = None
    videos: VideoService | None = None
    live: LiveService | None = None
    membership: Membership | None = None
    watching: asyncio.Task[None] | None = None

    @property
    def is_complete(self) -> bool:
        """Return whether everything has started, so that work is accepted."""
        return self.watching is not None

    def elsewhere(self) -> str | None:
        """Return the stream socket of another server that has room, None if none is known."""
        return None if self.membership is None else self.membership.stream_socket()

    async def drain(self) -> None:
        """Start nothing new; put running videos back into the queue and end the viewers."""
        if self.membership:
            with suppress(MastreamError):
                await self.membership.report_now()
        draining = []
        if self.live:
            draining.append(self.live.streams.drain())
        if self.videos:
            draining.append(self.videos.drain())
        await asyncio.gather(*draining)

    async def stop(self) -> None:
        """End the streams and the videos. Idempotent."""
        if self.live:
            await self.live.streams.stop()
        if self.videos:
            await self.videos.stop()
        if self.membership:
            await self.membership.stop()

    def close(self) -> None:
        """Close the database. Idempotent."""
        if self.watching:
            self.watching.cancel()
        if self.database:
            self.database.close()


async def load(
    into: Loaded,
    database: Database,
    parts: Parts,
    settings: Settings,
    hardware: Hardware | None,
    sandbox: Sandbox | None,
    render: Render,
) -> None:
    """Start every part and record it in ``into`` at once, so that a failure leaves nothing running.

    Raises BadRequest if a key is required and there is none, and what the engine raises.
    """
    into.database = database
    await _open_keyring(parts, database, settings.host)
    await parts.worker.start()
    _log_engines(parts.worker)
    name, folder = await asyncio.to_thread(_names, settings)
    into.membership = await _join(database, parts, settings, name, folder)
    into.videos = video_service(
        parts.worker,
        database,
        parts.metrics,
        settings,
        hardware,
        sandbox,
        parts.guard,
        parts.seal,
        render,
        name,
        folder,
        parts.tracing,
    )
    await into.videos.start()
    into.live = live_service(
        parts.worker,
        Ownership(
            StreamRows(database, parts.seal),
            into.membership,
            terms_of(settings.cluster),
            on_taken=partial(parts.metrics.taken_over, "stream"),
            on_lost=partial(parts.metrics.lease_lost, "stream"),
        ),
        parts.pool,
        parts.metrics,
        settings,
        hardware,
        sandbox if settings.decode.sandbox_cameras else None,
        parts.recordings,
        parts.guard,
        parts.pictures,
    )
    await into.live.streams.start()
    into.watching = asyncio.create_task(watch(database))


async def _open_keyring(parts: Parts, database: Database, host: str) -> None:
    """Use the stored keys. Raises BadRequest if one is required and there is none."""
    rows = KeyRows(database)
    parts.keyring.use(rows)
    count = await asyncio.to_thread(rows.count_valid)
    if parts.keyring.tokens is None:
        check_keys_exist(parts.access, count, host)
    if parts.access is Access.OPEN:
        _log.warning("MASTREAM_SECURITY__OPEN is set: everybody who can connect may do everything")


def _names(settings: Settings) -> tuple[str, str]:
    """Return the names of this server and of the folder with its videos: its own, unless servers
    share one."""
    name, shared = server_name(settings.folder), settings.videos.folder
    return name, name if shared is None else videos_name(shared)


async def _join(
    database: Database, parts: Parts, settings: Settings, name: str, folder: str
) -> Membership:
    """Report this server to those that share the database."""
    membership = Membership(
        name,
        OwnerRows(database),
        lambda: presence(settings, parts.worker, folder, parts.streams.draining),
        Times(settings.cluster.report_seconds, settings.cluster.alive_seconds),
        # The database is a file in the folder, of which no other server has the lock.
        is_alone=settings.videos.database is None,
    )
    await membership.start()
    parts.metrics.watch_servers(lambda: len(membership.servers))
    return membership


def _log_engines(worker: Fleet) -> None:
    for built in worker.engines:
        failed = ", ".join(built.passed_over) or "none"
        _log.info(
            "%s on %s serves; providers that failed: %s", built.provider, built.device, failed
        )


def terms_of(settings: ClusterSettings) -> Terms:
    """Return the times of leases from the settings."""
    return Terms(settings.lease_seconds, settings.renew_seconds, settings.margin_seconds)
