"""Each free stream is taken by one server, the least loaded first, and by another if that fails."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest

from server.cluster.placement import (
    RANK_SECONDS,
    RETURN_SECONDS,
    Candidate,
    FreeStream,
    chosen,
    orders,
    ranked,
    wanted,
    with_much_room,
)

A, B, C = Candidate("a", 0, 10), Candidate("b", 5, 5), Candidate("c", 9, 1)
ALL = (A, B, C)


def test_the_least_loaded_goes_first() -> None:
    assert ranked(FreeStream("s", 0.0), ALL) == ["a", "b", "c"]
    assert [chosen(one.name, ALL, [FreeStream("s", 0.0)]) for one in ALL] == [["s"], [], []]


@pytest.mark.parametrize(("rank", "name"), [(0, "a"), (1, "b"), (2, "c")])
def test_each_further_one_waits_longer(rank: int, name: str) -> None:
    assert chosen(name, ALL, [FreeStream("s", RANK_SECONDS * rank)]) == ["s"]
    if rank:
        assert chosen(name, ALL, [FreeStream("s", RANK_SECONDS * rank - 0.01)]) == []


def test_who_is_full_or_stops_takes_nothing() -> None:
    servers = [Candidate("a", 4, 0), Candidate("b", 0, 4, is_draining=True), C]
    assert ranked(FreeStream("s", 99.0), servers) == ["b", "c"], "draining is not its affair"
    assert chosen("a", servers, [FreeStream("s", 99.0)]) == []
    assert chosen("b", servers, [FreeStream("s", 99.0)]) == []
    assert chosen("c", servers, [FreeStream("s", 0.0)]) == ["s"]


def test_who_let_it_go_comes_last_and_takes_it_if_alone() -> None:
    left = FreeStream("s", 0.0, left_by="a")
    assert ranked(left, ALL) == ["b", "c", "a"]
    assert chosen("a", [A], [left]) == ["s"]


@pytest.mark.parametrize("count", [1, 7, 60])
def test_many_at_once_are_divided_without_two_that_want_the_same(count: int) -> None:
    servers = [Candidate(name, 0, 40) for name in "abc"]
    free = [FreeStream(f"s{number}", 0.0) for number in range(count)]
    wanted = {one.name: chosen(one.name, servers, free) for one in servers}
    taken = Counter(name for names in wanted.values() for name in names)
    assert taken == Counter(one.name for one in free)
    sizes = [len(names) for names in wanted.values()]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("free_for", [0.0, 1.0, 99.0])
def test_the_servers_that_may_act_are_the_first_of_all(free_for: float) -> None:
    servers = [Candidate(f"n{number}", number % 5, 9) for number in range(40)]
    stream = FreeStream("s", free_for, left_by="n5")
    ((_, order),) = orders(servers, [stream])
    assert order == ranked(stream, servers)[: int(free_for / RANK_SECONDS) + 1]


def test_no_more_than_there_is_room_for() -> None:
    free = [FreeStream(f"s{number}", 99.0) for number in range(9)]
    assert len(chosen("c", [Candidate("c", 0, 4)], free)) == 4


def test_a_client_goes_where_the_most_room_is() -> None:
    assert with_much_room([Candidate("b", 0, 4), Candidate("a", 5, 9)], 0.999) == "a"
    full, leaving = Candidate("a", 1, 0), Candidate("b", 0, 9, is_draining=True)
    assert with_much_room([full, leaving], 0.5) is None
    assert with_much_room([], 0.5) is None


def test_many_clients_are_divided_among_those_with_at_least_half_as_much_room() -> None:
    servers = [Candidate(name, 0, room) for name, room in zip("cabd", (10, 5, 4, 7), strict=True)]
    found = Counter(with_much_room(servers, number / 30) for number in range(30))
    assert found == {"a": 10, "c": 10, "d": 10}


def test_after_the_database_was_away_each_server_takes_back_its_own_and_later_the_rest() -> None:
    free = [FreeStream("mine", 30.0, "a"), FreeStream("other", 30.0, "b"), FreeStream("s", 30.0)]
    assert wanted("a", [A], free, 0.0) == ["mine"]
    assert wanted("a", [replace(A, room=0)], free, 0.0) == []
    assert wanted("a", [A], free, RETURN_SECONDS - 0.01) == ["mine"]
    assert wanted("a", [A], free, math.inf) == ["mine", "other", "s"]
    servers = [Candidate(name, 0, 9) for name in "abcdefgh"]
    at_once = [one.name for one in servers if wanted(one.name, servers, free[1:2], RETURN_SECONDS)]
    assert len(at_once) == 1, "as if it had only now become free"
