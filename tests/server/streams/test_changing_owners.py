"""Twenty streams, three servers that die, freeze, stop and return, and one database: no stream has
two owners, none is without one for long, and nothing is left."""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pytest
from living import open_files, thread_names
from owner_threads import OwnerThread, Seen
from row_watch import RowWatch

from server.cluster.lease import Terms
from server.cluster.membership import Times
from server.cluster.placement import RANK_SECONDS
from server.database.connection import Database
from server.errors import Conflict, MastreamError
from server.streams import live_streams
from server.streams.definition import StreamDefinition

SECONDS = 30.0
SEED = 20
STREAMS_THERE = 20
TERMS = Terms(lease=1.5, renew=0.5, margin=0.4)
TIMES = Times(beat=0.3, alive=1.5)
FREE_SECONDS = 1.0
"""Seconds for which a stream may be free, after its lease, while one server of three is away."""

BUSY_SECONDS = 1.0
"""How much longer that may take on a machine that runs other tests too."""

PATIENCE = 60.0


def definition(number: int) -> StreamDefinition:
    """Every second one is a film."""
    url = f"file:///{number}.mp4" if number % 2 else f"rtsp://host/{number}"
    return StreamDefinition(f"s{number}", url, max_gap=600.0)


@dataclass
class Servers:
    """Mutable state: what happened to each server, until when, and since when at most one is
    away."""

    all: list[OwnerThread]
    chance: random.Random
    away: dict[OwnerThread, float] = field(default_factory=dict)
    two_away: float = -math.inf
    done: dict[str, int] = field(default_factory=dict)

    @property
    def healthy(self) -> list[OwnerThread]:
        return [one for one in self.all if one not in self.away]

    def step(self, most_away: int) -> None:
        """Let the servers return whose time has come; with some probability, cause another
        event."""
        for server in [one for one, until in self.away.items() if time.monotonic() > until]:
            self._bring_back(server)
        if len(self.away) < most_away and self.chance.random() < 0.15:
            happens: Callable[[], None] = self.chance.choice(
                [self._kill, self._kill, self._freeze, self._freeze, self._stop, self._replace]
            )
            self.done[happens.__name__] = self.done.get(happens.__name__, 0) + 1
            happens()
        if len(self.away) > 1:
            self.two_away = time.monotonic()

    def all_return(self) -> None:
        for server in list(self.away):
            self._bring_back(server)

    def _bring_back(self, server: OwnerThread) -> None:
        del self.away[server]
        if server.runs:
            server.thaw()
        else:
            server.begin()

    def _is_away(self, server: OwnerThread, leases: float) -> None:
        self.away[server] = time.monotonic() + leases * TERMS.lease

    def _kill(self) -> None:
        """Perhaps it returns before its leases end."""
        server = self.chance.choice(self.healthy)
        self._is_away(server, self.chance.uniform(0, 2.5))
        server.kill()

    def _freeze(self) -> None:
        server = self.chance.choice(self.healthy)
        self._is_away(server, self.chance.uniform(0.2, 2.5))
        server.freeze()

    def _stop(self) -> None:
        server = self.chance.choice(self.healthy)
        self._is_away(server, self.chance.uniform(0, 1.0))
        server.stop()

    def _replace(self) -> None:
        """Remove a stream, and add another one of its name on another server."""
        if len(self.healthy) < 2:
            return
        one, other = self.chance.sample(self.healthy, 2)
        if names := one.names():
            name = self.chance.choice(names)
            with suppress(MastreamError):  # it may just have moved
                one.remove(name)
                self._add(name, other)

    def _add(self, name: str, server: OwnerThread) -> None:
        """Add a stream, even if the server has still to notice that it lost an earlier one."""
        while True:
            with suppress(Conflict):
                return server.add(definition(int(name[1:])))
            time.sleep(0.05)


@contextmanager
def nothing_is_left(seen: Seen) -> Iterator[None]:
    threads, files = thread_names(), open_files()
    yield
    assert (seen.left_tasks, seen.open_sources) == ([], [])
    assert (thread_names(), open_files()) == (threads, files)


def check(seen: Seen) -> int:
    """Check that each stream had one owner at a time, and that no mask of a film is missing; return
    how often streams went to others."""
    last: dict[str, tuple[float, int, str]] = {}
    films: dict[tuple[str, float], int] = {}
    moves = 0
    for server, held, seq in seen.sent:
        now = held.created, held.epoch, server
        before = last.setdefault(held.name, now)
        assert now[:2] >= before[:2], f"{held.name}: {now} sent after {before}"
        assert now[:2] > before[:2] or now == before, f"{held.name}: {now} besides {before}"
        moves += now != before
        last[held.name] = now
        if int(held.name[1:]) % 2:
            newest = films.get((held.name, held.created), -1)
            assert seq <= newest + 1, f"{held}: {seq} came after {newest}"
            films[held.name, held.created] = max(seq, newest)
    return moves


def until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_no_stream_has_two_owners_or_none_for_long(
    database_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    monkeypatch.setattr(live_streams, "PLACE_SECONDS", 0.3)
    chance, seen = random.Random(SEED), Seen()
    threads = [
        OwnerThread(name, database_url, TERMS, TIMES, seen, random.Random(f"{SEED} {name}"))
        for name in "abc"
    ]
    servers = Servers(threads, chance)
    Database(database_url).close()
    with nothing_is_left(seen):
        for server in threads:
            server.begin()
        for number in range(STREAMS_THERE):
            threads[number % 3].add(definition(number))
        with RowWatch(database_url, lambda: servers.two_away, 2 * TERMS.lease) as watch:
            for most_away in (1, 2):
                ends = time.monotonic() + SECONDS / 2
                while time.monotonic() < ends:
                    servers.step(most_away)
                    time.sleep(0.05)
            servers.all_return()
            until(lambda: sum(len(one.streams) for one in threads) == STREAMS_THERE)
            count = len(seen.sent)
            until(lambda: len({one.held.name for one in seen.sent[count:]}) == STREAMS_THERE)
        for server in threads:
            server.stop()
    moves = check(seen)
    print(f"{len(seen.sent)} masks, {moves} moves, {servers.done}, free {watch.free}")
    assert watch.faults == []
    assert moves > STREAMS_THERE
    assert watch.free[1] <= FREE_SECONDS + BUSY_SECONDS
    assert watch.free[2] <= FREE_SECONDS + RANK_SECONDS + BUSY_SECONDS
