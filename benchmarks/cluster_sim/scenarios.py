"""The simulated failures, and the result of each run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.cluster_sim.machines import STEP, TENDS, TERMS
from benchmarks.cluster_sim.tally import Takeovers, Tally, takeovers
from benchmarks.cluster_sim.world import World
from server.cluster.membership import BEAT_SECONDS

BEGIN = 5.0


@dataclass(frozen=True, slots=True)
class Steady:
    """The load of all servers on the database per second while nothing fails."""

    writes: int
    rows_written: int
    rows_read: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one scenario. ``fullest`` is the largest number of streams on one server at the
    end; ``unserved`` is the number of streams without a server then, ``looking`` that of clients.

    ``pictures`` are the times from the end of a stream's server to its next picture, ``returns``
    the times until the clients of pushed streams have another server. ``camera_rush`` and
    ``client_rush`` are the most connections to cameras, and to all servers, in one second;
    ``crowd`` is the most to one server."""

    name: str
    tally: Tally
    fullest: int
    unserved: int
    steady: Steady
    pictures: Takeovers
    returns: Takeovers
    returned: int
    looking: int
    camera_rush: int
    client_rush: int
    crowd: int


def measure(name: str, servers: int, streams: int, seed: int) -> Outcome:
    """Run a scenario with this many servers and streams, and return the result."""
    world = World(servers, streams, seed)
    SCENARIOS[name](world)
    clients, cameras = world.clients, world.cameras
    return Outcome(
        name,
        world.tally,
        fullest=max(len(one.leases) for one in world.servers.values()),
        unserved=len(world.orphans),
        steady=steady(servers, streams),
        pictures=takeovers(cameras.gaps),
        returns=takeovers(clients.gaps),
        returned=len(clients.gaps),
        looking=clients.looking,
        camera_rush=max(cameras.connections.values(), default=0),
        client_rush=max(clients.attempts.values(), default=0),
        crowd=max(clients.arrivals.values(), default=0),
    )


def steady(servers: int, streams: int) -> Steady:
    """Return the work without failures: each server reports itself, reads all servers and renews
    its leases with one statement a second, and reads all streams twice."""
    looks = servers / (TENDS * STEP)
    return Steady(
        writes=round(servers / BEAT_SECONDS + min(servers, streams) / TERMS.renew),
        rows_written=round(servers / BEAT_SECONDS + streams / TERMS.renew),
        rows_read=round(servers * servers / BEAT_SECONDS + looks * streams),
    )


def rolling_update(world: World) -> None:
    """Update all servers, a hundredth of them at a time; each is away for 10 s."""
    names = list(world.servers)
    size = max(1, len(names) // 100)
    waves = [names[first : first + size] for first in range(0, len(names), size)]
    for number, wave in enumerate(waves):
        begin = BEGIN + 12.0 * number
        world.at(begin, partial(world.drain, wave))
        world.at(begin + 10.0, partial(world.restart, wave))
    world.run(BEGIN + 12.0 * len(waves) + 30.0)


def failures(world: World) -> None:
    """Let a hundredth of the servers die within an hour, each for a minute."""
    names = list(world.servers)
    for name in world.chance.sample(names, max(1, len(names) // 100)):
        dies = BEGIN + world.chance.uniform(0.0, 3600.0)
        world.at(dies, partial(world.die, [name]))
        world.at(dies + 60.0, partial(world.restart, [name]))
    world.run(BEGIN + 3700.0)


def rack_lost(world: World) -> None:
    """Let one server in 25 die at once, for good."""
    names = list(world.servers)
    world.at(BEGIN, partial(world.die, names[: max(1, len(names) // 25)]))
    world.run(BEGIN + 60.0)


def database_away(world: World) -> None:
    """Take the database away for 30 s."""
    world.at(BEGIN, world.lose_database)
    world.at(BEGIN + 30.0, world.return_database)
    world.run(BEGIN + 90.0)


SCENARIOS: dict[str, Callable[[World], None]] = {
    "rolling-update": rolling_update,
    "failures": failures,
    "rack-lost": rack_lost,
    "database-away": database_away,
}
