"""A cluster in virtual time: events, and between them the servers' reports and takeovers.

While every stream has a server and nothing fails, time moves on to the next event. Otherwise it
passes in steps of 50 ms, and servers that act in one step see the same rows and try at the same
time, which is slightly worse than in reality. A statement takes no time. A session counts from the
server's next report on.
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count

from benchmarks.cluster_sim.cameras import Cameras
from benchmarks.cluster_sim.clients import Clients
from benchmarks.cluster_sim.machines import (
    PHASES,
    PLACES,
    STEP,
    TENDS,
    TERMS,
    Row,
    Server,
    cluster,
    stream_name,
)
from benchmarks.cluster_sim.tally import Tally
from server.cluster.lease import granted, is_held
from server.cluster.placement import (
    RETURN_SECONDS,
    Candidate,
    FreeStream,
    orders,
    wanted,
)

AWAKE_STEPS = round(5 / STEP)
"""Seconds after an event during which time passes in steps, until no server has outdated
information."""


class World:
    """Mutable state: servers, rows, the streams that no server works on, the clients and the
    cameras that have no server, the future events, and whether the database answers."""

    def __init__(self, servers: int, streams: int, seed: int) -> None:
        self.chance = random.Random(seed)
        made, rows = cluster(servers, streams, self.chance)
        self.servers = {one.name: one for one in made}
        self.rows: dict[str, Row] = {stream_name(n): row for n, row in enumerate(rows)}
        self.orphans: set[str] = set()
        self.tally = Tally()
        self.answers = True
        self._returned = -math.inf
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._numbers = count()
        self.clients = Clients(self.servers, self.at, self.chance)
        self.cameras = Cameras(self.at, self.chance)
        self._step = 0
        self._awake_until = 0

    @property
    def now(self) -> float:
        return self._step * STEP

    def at(self, seconds: float, act: Callable[[], None]) -> None:
        """Schedule ``act`` for a time."""
        heappush(self._events, (round(seconds / STEP), next(self._numbers), act))

    def run(self, seconds: float) -> None:
        """Advance the time to ``seconds``."""
        while self._step <= round(seconds / STEP):
            if self._events and self._events[0][0] <= self._step:
                self._happen()
            if not self._is_busy():
                if not self._events:
                    return
                self._step = self._events[0][0]
                continue
            self._pass()
            self._step += 1

    def die(self, names: Iterable[str]) -> None:
        """Kill servers: their leases and reports remain valid for a while."""
        for server in map(self.servers.__getitem__, names):
            self._store_leases(server)
            for name in server.leases:
                self.cameras.lose(name, self.now)
            self._orphan(server, list(server.leases))
            server.is_up = False
            self.clients.lose(server, self.now, in_order=False)

    def drain(self, names: Iterable[str]) -> None:
        """Stop servers in order: they give their streams back and leave."""
        for server in map(self.servers.__getitem__, names):
            given = list(server.leases)
            self._orphan(server, given)
            for name in given:
                self.rows[name].owner, self.rows[name].expires = None, self.now
            self.tally.writes[int(self.now)] += len(given) + 1
            server.is_up, server.reported_until = False, self.now
            self.clients.lose(server, self.now, in_order=True)

    def restart(self, names: Iterable[str]) -> None:
        """Start servers again on their folders; they take back the streams that no other server has
        taken."""
        for server in map(self.servers.__getitem__, names):
            server.is_up = True
            for name in sorted(self.orphans):
                if self.rows[name].owner == server.name:
                    self._take(name, server, 1)
            server.report(self.now)
            server.view = self._alive()

    def lose_database(self) -> None:
        """Take the database away."""
        for server in self.servers.values():
            self._store_leases(server)
        self.answers = False

    def return_database(self) -> None:
        """Let the database answer again."""
        self.answers, self._returned = True, self.now

    def _is_busy(self) -> bool:
        return bool(self.orphans) or not self.answers or self._step < self._awake_until

    def _happen(self) -> None:
        if not self._is_busy():
            self._catch_up()
        self._awake_until = self._step + AWAKE_STEPS
        while self._events and self._events[0][0] <= self._step:
            heappop(self._events)[2]()

    def _catch_up(self) -> None:
        """Report and read for all servers, each at the last moment at which it would have."""
        for server in self._running():
            server.report((self._step - (self._step - server.phase) % PHASES) * STEP)
        alive = self._alive()
        for server in self._running():
            server.view = alive

    def _pass(self) -> None:
        """Let the servers act whose turn is in this step."""
        tending = [one for one in self._running() if (self._step - one.phase) % TENDS == 0]
        if not self.answers:
            for server in tending:
                lost = [n for n, lease in server.leases.items() if not is_held(lease, self.now)]
                self._orphan(server, lost)
            return
        self._beat([one for one in tending if (self._step - one.phase) % PHASES == 0])
        self._take_free(tending)

    def _beat(self, servers: list[Server]) -> None:
        for server in servers:
            server.report(self.now)
            self.tally.writes[int(self.now)] += 1 + bool(server.leases)
        alive = self._alive()
        for server in servers:
            server.view = alive

    def _take_free(self, tending: list[Server]) -> None:
        """Let each server try the streams that it should take according to its view of the
        others."""
        free = [self._free(name) for name in self.orphans if self._is_free(self.rows[name])]
        back = self.now - self._returned
        if back < RETURN_SECONDS:
            self._take_back(tending, free, back)
            return
        free = [replace(f, free_for=min(f.free_for, back - RETURN_SECONDS)) for f in free]
        groups: dict[int, dict[str, Server]] = defaultdict(dict)
        for server in tending:
            groups[id(server.view)][server.name] = server
        tries: dict[str, list[Server]] = defaultdict(list)
        for group in groups.values() if free else ():
            view = next(iter(group.values())).view
            tried: dict[str, list[str]] = defaultdict(list)
            for stream, order in orders(view, free):
                for name in group.keys() & order:
                    tried[name].append(stream.name)
            for name, streams in tried.items():
                for stream_wanted in streams[: PLACES - len(group[name].leases)]:
                    tries[stream_wanted].append(group[name])
        for name in sorted(tries):
            trying = sorted(tries[name], key=lambda one: one.name)
            self._take(name, self.chance.choice(trying), len(trying))

    def _take_back(self, tending: list[Server], free: list[FreeStream], back: float) -> None:
        """Let each server try its own streams, as after the database has returned."""
        theirs: dict[str, list[FreeStream]] = defaultdict(list)
        for stream in free:
            theirs[stream.left_by or ""].append(stream)
        for server in tending:
            for name in wanted(server.name, [server.reported], theirs[server.name], back):
                self._take(name, server, 1)

    def _take(self, name: str, server: Server, tried: int) -> None:
        row = self.rows[name]
        row.epoch += 1
        row.owner, row.expires = server.name, self.now + TERMS.lease
        server.leases[name] = granted(row.epoch, self.now, TERMS)
        self.orphans.discard(name)
        self.tally.add_take(self.now, self.now - row.stopped, tried)
        self.cameras.take(name, row.epoch, row.stopped, self.now)

    def _orphan(self, server: Server, names: list[str]) -> None:
        for name in names:
            del server.leases[name]
            self.rows[name].stopped = self.now
            self.orphans.add(name)

    def _store_leases(self, server: Server) -> None:
        """Renew the leases that were due, and store when each ends in the database."""
        if not self.answers:
            return
        server.renew_until(self._step)
        for name, lease in server.leases.items():
            self.rows[name].expires = lease.until + TERMS.margin

    def _is_free(self, row: Row) -> bool:
        return row.owner is None or row.expires < self.now

    def _free(self, name: str) -> FreeStream:
        row = self.rows[name]
        return FreeStream(name, self.now - row.expires, row.owner)

    def _alive(self) -> list[Candidate]:
        return [one.reported for one in self.servers.values() if one.reported_until > self.now]

    def _running(self) -> list[Server]:
        return [one for one in self.servers.values() if one.is_up]
