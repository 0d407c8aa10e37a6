"""The servers and the rows of one simulated cluster."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from server.cluster.lease import Lease, Terms, granted, is_due, renewed
from server.cluster.membership import ALIVE_SECONDS
from server.cluster.placement import Candidate

PLACES = 64
"""Maximum sessions of a server, as by default."""

STEP = 0.05
"""Seconds between two steps of the simulation."""

PHASES = 20
"""Steps per second; each server reports itself once per second, at one of them."""

TENDS = 10
"""Steps between two reads of the streams, half a second."""

TERMS = Terms()


@dataclass(slots=True)
class Server:
    """One server. Mutable state: whether it runs, its leases, its last report and until when that
    counts, and the others as it last read them. ``pushed`` sessions stay."""

    name: str
    phase: int
    pushed: int
    is_up: bool = True
    leases: dict[str, Lease] = field(default_factory=dict)
    reported_until: float = ALIVE_SECONDS
    reported: Candidate = field(default_factory=lambda: Candidate("", 0, 0))
    view: Sequence[Candidate] = ()

    def report(self, now: float) -> None:
        """Store its report for the others."""
        used = min(PLACES, self.pushed + len(self.leases))
        self.reported = Candidate(self.name, used, PLACES - used)
        self.reported_until = now + ALIVE_SECONDS

    def renew_until(self, step: int) -> None:
        """Renew each lease when it is due, up to ``step``; nothing else can have happened since the
        last renewal, so only those of the last two seconds are performed."""
        last = step - (step - self.phase) % TENDS
        for name, lease in self.leases.items():
            for tick in range(last - 4 * TENDS, last + 1, TENDS):
                if is_due(lease, tick * STEP):
                    lease = renewed(lease, tick * STEP, TERMS)  # noqa: PLW2901
            self.leases[name] = lease


@dataclass(slots=True)
class Row:
    """A stream's row. Mutable state: its owner, when its lease ends in the database, since when no
    server has worked on it, and the epoch."""

    owner: str | None
    expires: float
    stopped: float = 0.0
    epoch: int = 1


def cluster(servers: int, streams: int, chance: random.Random) -> tuple[list[Server], list[Row]]:
    """Return servers with pushed sessions, and rows spread evenly over them."""
    made = [
        Server(f"{n:032x}", chance.randrange(PHASES), chance.randint(0, 20)) for n in range(servers)
    ]
    rows = []
    for number in range(streams):
        owner = made[number % servers]
        owner.leases[stream_name(number)] = granted(1, -chance.random(), TERMS)
        rows.append(Row(owner.name, TERMS.lease))
    for one in made:
        one.report(0.0)
    return made, rows


def stream_name(number: int) -> str:
    return f"camera-{number}"
