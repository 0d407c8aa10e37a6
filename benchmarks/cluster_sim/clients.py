"""Clients whose server has ended, until another server has them, with the back-off and the routing
of the Python client.

They connect to a load balancer, which chooses the server with the fewest sockets and skips servers
that do not answer. A server that is full or stops names a peer that had much room when it last read
the others.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

from benchmarks.cluster_sim.machines import PLACES, Server
from clients.python.errors import ClientError, GoneAway, NoCapacity, Unreachable
from clients.python.following import Route, after, entrance
from clients.python.reconnecting import Backoff, wait
from server.cluster.placement import with_much_room

ENTRY = "wss://entry/v1/stream"
CONNECT_SECONDS = 0.05
"""Seconds from an attempt to its answer."""

At = Callable[[float, Callable[[], None]], None]


@dataclass(slots=True)
class Client:
    """One client that has had no server ``since`` then. Mutable state: where it connects next, and
    how often it has waited."""

    since: float
    route: Route = field(default_factory=lambda: entrance(ENTRY))
    attempt: int = 0


class Clients:
    """All clients that look for a server.

    Mutable state: how long each client that found a server was without one, the attempts by second,
    and the attempts by second and server.
    """

    def __init__(self, servers: Mapping[str, Server], at: At, chance: random.Random) -> None:
        self._servers, self._at, self._chance = servers, at, chance
        self._backoff = Backoff()
        self.gaps: list[float] = []
        self.looking = 0
        self.attempts: Counter[int] = Counter()
        self.arrivals: Counter[tuple[int, str]] = Counter()

    def lose(self, server: Server, now: float, *, in_order: bool) -> None:
        """Let all clients of a server lose it; a server that stops in order names a peer."""
        count, server.pushed = server.pushed, 0
        lost = Unreachable("The connection was lost.")
        for _ in range(count):
            self.looking += 1
            self._fail(Client(now), self._sent_on(server) if in_order else lost, now)

    def _fail(self, client: Client, error: ClientError, now: float) -> None:
        """Decide the time and the address of the next attempt."""
        client.route = after(client.route, error)
        seconds = 0.0
        if not client.route.is_named:
            seconds = wait(error, self._backoff, client.attempt, self._chance.random())
            client.attempt += 1
        then = now + seconds + CONNECT_SECONDS
        self._at(then, partial(self._try, client, then))

    def _try(self, client: Client, now: float) -> None:
        self.attempts[int(now)] += 1
        server = self._named(client) if client.route.is_named else self._balanced()
        if server is None:
            self._fail(client, Unreachable("Nothing answers."), now)
            return
        self.arrivals[int(now), server.name] += 1
        if server.pushed + len(server.leases) >= PLACES:
            self._fail(client, self._sent_on(server), now)
            return
        server.pushed += 1
        self.looking -= 1
        self.gaps.append(now - client.since)

    def _named(self, client: Client) -> Server | None:
        server = self._servers[urlsplit(client.route.address).hostname or ""]
        return server if server.is_up else None

    def _balanced(self) -> Server | None:
        """Return the server with the fewest sockets; one of several is chosen at random."""
        up = [one for one in self._servers.values() if one.is_up]
        if not up:
            return None
        fewest = min(one.pushed for one in up)
        return self._chance.choice([one for one in up if one.pushed == fewest])

    def _sent_on(self, server: Server) -> ClientError:
        """Return the answer of a server that accepts no clients."""
        others = (one for one in server.view if one.name != server.name)
        peer = with_much_room(others, self._chance.random())
        if peer is None:
            return NoCapacity("All are full.")
        return GoneAway("Go to a peer.", url=f"wss://{peer}/v1/stream")
