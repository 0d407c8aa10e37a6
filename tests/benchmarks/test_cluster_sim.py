"""The simulated cluster with 100 streams: nothing is lost, leases hold, and a seed decides all."""

from __future__ import annotations

import pytest

from benchmarks.cluster_sim.__main__ import around, row
from benchmarks.cluster_sim.cameras import ANSWER_SECONDS, NOTICE_SECONDS
from benchmarks.cluster_sim.machines import PLACES, TERMS, stream_name
from benchmarks.cluster_sim.scenarios import SCENARIOS, Steady, measure, steady
from benchmarks.cluster_sim.tally import Tally
from benchmarks.cluster_sim.world import World
from server.cluster.placement import RANK_SECONDS

SERVERS, STREAMS = 25, 100


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_stream_has_a_server_at_the_end(name: str) -> None:
    found = measure(name, SERVERS, STREAMS, seed=3)
    assert (found.unserved, found.looking) == (0, 0)
    assert found.tally.gaps


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_seed_gives_the_same_figures(name: str) -> None:
    first, again = (measure(name, SERVERS, STREAMS, seed=3) for _ in range(2))
    assert (row(first), around(first)) == (row(again), around(again))


def test_streams_that_are_given_back_do_not_wait_for_a_lease() -> None:
    found = measure("rolling-update", SERVERS, STREAMS, seed=3)
    assert found.tally.takeovers.longest < TERMS.lease
    assert len(found.tally.gaps) >= STREAMS, "each server gave its streams back once"


def test_nobody_takes_the_streams_of_a_dead_server_while_their_leases_last() -> None:
    found = measure("rack-lost", SERVERS, STREAMS, seed=3)
    assert len(found.tally.gaps) == STREAMS // SERVERS
    assert min(found.tally.gaps) >= TERMS.lease - TERMS.renew
    assert found.tally.takeovers.longest <= TERMS.lease + 0.5 + 4 * RANK_SECONDS


def test_all_streams_stop_while_the_database_is_away() -> None:
    found = measure("database-away", SERVERS, STREAMS, seed=3)
    assert len(found.tally.gaps) == STREAMS
    assert 27.0 <= found.tally.takeovers.p50 <= 30.0
    assert found.tally.herd == 1
    assert found.fullest == STREAMS // SERVERS, "each server has its own again"


def test_a_short_absence_of_the_database_stops_nothing() -> None:
    world = World(SERVERS, STREAMS, seed=3)
    world.at(5.0, world.lose_database)
    world.at(6.0, world.return_database)
    world.run(30.0)
    assert world.tally.gaps == []
    assert sum(len(one.leases) for one in world.servers.values()) == STREAMS


def test_a_server_that_restarts_at_once_takes_its_streams_back() -> None:
    world = World(SERVERS, STREAMS, seed=3)
    first = world.rows[stream_name(0)].owner
    assert first is not None
    before = set(world.servers[first].leases)
    world.at(5.0, lambda: world.die([first]))
    world.at(6.0, lambda: world.restart([first]))
    world.run(30.0)
    assert set(world.servers[first].leases) == before
    assert world.tally.takeovers.longest == 1.0


def test_the_busiest_second_and_the_largest_herd_are_counted() -> None:
    tally = Tally()
    for now, tried in ((1.2, 1), (1.9, 3), (2.0, 1)):
        tally.add_take(now, gap=now, tried=tried)
    assert (tally.busiest_takes, tally.busiest_writes, tally.herd, tally.attempts) == (2, 4, 3, 5)
    assert tally.takeovers == pytest.approx((1.9, 1.998, 2.0))


def test_the_work_without_failures() -> None:
    assert steady(10, 100) == Steady(writes=20, rows_written=110, rows_read=10 * 10 + 20 * 100)


def test_clients_wait_after_a_death_and_follow_at_once_when_a_server_stops() -> None:
    died, stopped = (
        measure(name, SERVERS, STREAMS, seed=3) for name in ("rack-lost", "rolling-update")
    )
    assert 0.5 <= died.returns.p50 <= 1.1, "half a second to one second, by chance"
    assert stopped.returns.p50 <= 0.2
    assert min(died.returned, stopped.returned) > 0


def test_a_full_server_sends_clients_on_until_one_has_room() -> None:
    world = World(3, 0, seed=3)
    first, second, third = world.servers.values()
    second.pushed, third.pushed, first.pushed = PLACES, PLACES - 1, 2
    for one in (first, second, third):
        one.report(0.0)
    for one in (first, second, third):
        one.view = world._alive()
    world.at(1.0, lambda: world.die([first.name]))
    world.at(20.0, lambda: world.restart([first.name]))
    world.run(60.0)
    assert (world.clients.looking, second.pushed, third.pushed, first.pushed) == (
        0,
        PLACES,
        PLACES,
        1,
    )
    assert min(world.clients.gaps) < 2.0
    assert max(world.clients.gaps) > 19.0, "one waits until there is room"


def test_cameras_are_tried_again_until_they_notice_that_their_client_is_gone() -> None:
    found = measure("rack-lost", SERVERS, 20 * SERVERS, seed=3)
    assert found.tally.takeovers.p50 + ANSWER_SECONDS[0] < found.pictures.p50
    assert found.pictures.longest > NOTICE_SECONDS
    assert found.pictures.longest < NOTICE_SECONDS + 2 * 8.0 + ANSWER_SECONDS[1]
