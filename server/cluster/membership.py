"""This server among those that share its database: it reports itself and reads the others."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from server.cluster.history import Condition, History
from server.cluster.placement import Candidate, with_much_room
from server.database.owners import Owner, OwnerRows, Presence
from server.errors import Elsewhere, MastreamError, NoCapacity
from server.threads import ThreadRunner

BEAT_SECONDS = 1.0
"""How often a server reports itself and reads the others."""

ALIVE_SECONDS = 4.0
"""How long the others count on a server after it last reported."""

ALONE_SECONDS = 5.0
"""Seconds between checks of a server's row if no other server can read it."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds: between two reports, and for how long each of them counts."""

    beat: float = BEAT_SECONDS
    alive: float = ALIVE_SECONDS


class Membership:
    """One server's row, and the others as last read.

    One that ``is_alone`` has the database to itself: it writes its row when it starts and stops,
    and in between only checks whether another process has taken it.

    Mutable state: the epoch of this start, the servers that are alive, how they changed, and the
    task that reports.
    """

    def __init__(
        self,
        name: str,
        rows: OwnerRows,
        report: Callable[[], Presence],
        times: Times | None = None,
        is_alone: bool = False,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.is_alone = is_alone
        self.history = History("server", "gone")
        self.epoch = 0
        self.servers: list[Owner] = []
        self.is_replaced = False
        self._rows = rows
        self._report = report
        self._times = times or Times()
        self._chance = chance
        self._disk = ThreadRunner("cluster")
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Membership {self.name} epoch {self.epoch} of {len(self.servers)}>"

    async def start(self) -> None:
        """Enter the table and report from now on. Raises Fault if the database fails."""
        alive = self._times.alive
        self.epoch = await self._disk(self._rows.enter, self.name, self._report(), alive)
        await self._read()
        self._task = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        """Leave the table, so that no more clients are sent here. Idempotent."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        self._task = None
        try:
            await self._disk(self._rows.leave, self.name, self.epoch)
        except MastreamError as error:
            _log.warning("other servers will notice later that this server has left: %s", error)
        await self._disk.close()

    @property
    def peers(self) -> list[Owner]:
        """Return the other servers that are alive."""
        return [one for one in self.servers if one.name != self.name]

    @property
    def candidates(self) -> list[Candidate]:
        """Return the servers that are alive, including the current state of this one, for
        placement."""
        mine = _candidate(self.name, self._report())
        return [mine, *(_candidate(one.name, one.presence) for one in self.peers)]

    def url_of(self, name: str | None) -> str | None:
        """Return a server's address for clients; None if it is not alive or has none."""
        found = (one.presence.url for one in self.peers if one.name == name)
        return next(found, None)

    def check_here(self, name: str, what: str) -> None:
        """Raise Elsewhere if another server has ``what``, or NoCapacity if that one is not alive or
        has no address."""
        if name == self.name:
            return
        if (url := self.url_of(name)) is None:
            raise NoCapacity(
                f"{what} is on another server, which cannot be reached: try again later."
            )
        raise Elsewhere(f"{what} is on another server: ask {url}.", url)

    def check_videos(self, folder: str) -> None:
        """Raise Elsewhere if another server uses the ``folder`` of a video and this one does not,
        or NoCapacity if no server that is alive and has an address uses it."""
        if folder == (self._report().videos or self.name):
            return
        having = [one for one in self.peers if folder == (one.presence.videos or one.name)]
        reachable = [one for one in having if one.presence.url]
        candidates = [_candidate(one.name, one.presence) for one in reachable]
        full = reachable[0].name if reachable else folder
        self.check_here(with_much_room(candidates, self._chance()) or full, "The video")

    def stream_socket(self) -> str | None:
        """Return the stream socket of a peer with much room, None if no peer that clients can reach
        has room."""
        reachable = [one for one in self.peers if one.presence.url]
        candidates = [_candidate(one.name, one.presence) for one in reachable]
        peer = with_much_room(candidates, self._chance())
        url = self.url_of(peer)
        return None if url is None else socket_url(url, "/v1/stream")

    async def report_now(self) -> None:
        """Report and read at once instead of at the next interval."""
        beaten = await self._beaten()
        if not beaten and not self.is_replaced:
            _log.error("another server has started with this one's name: give each its own folder")
        self.is_replaced = not beaten
        await self._read()

    async def _beaten(self) -> bool:
        """Report; return False if another process has this server's name by now."""
        mine = self.name, self.epoch
        if self.is_alone:
            return await self._disk(self._rows.is_current, *mine)
        return await self._disk(self._rows.beat, *mine, self._report(), self._times.alive)

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(ALONE_SECONDS if self.is_alone else self._times.beat)
            try:
                await self.report_now()
            except MastreamError as error:
                _log.debug("this server could not be reported: %s", error)
            except Exception:  # the others must not believe that this server is dead
                _log.exception("this server could not be reported")

    async def _read(self) -> None:
        if self.is_alone:
            mine = Owner(self.name, self.epoch, self._report(), self._times.alive)
            self.servers = [mine]
        else:
            self.servers = [one for one in await self._disk(self._rows.all) if one.is_alive]
        self.history.look({one.name: _condition(one) for one in self.servers})


def socket_url(url: str, path: str) -> str:
    """Return the address of a WebSocket at ``path`` of the server at ``url``."""
    parts = urlsplit(url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, parts.netloc, parts.path.rstrip("/") + path, "", ""))


def _condition(server: Owner) -> Condition:
    return Condition("draining" if server.presence.draining else "alive")


def _candidate(name: str, reported: Presence) -> Candidate:
    return Candidate(name, reported.sessions, reported.room, reported.draining)
