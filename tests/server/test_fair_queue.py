"""FairQueue: equal shares of the cost for competing clients, whatever they request."""

from __future__ import annotations

from collections import Counter

from server.fair_queue import FairQueue


def popped(queue: FairQueue[str]) -> str:
    item = queue.pop()
    assert item is not None
    return item


def test_an_empty_queue_has_nothing() -> None:
    assert FairQueue[str]().pop() is None


def test_items_of_one_client_stay_in_order() -> None:
    queue = FairQueue[str]()
    for item, cost in (("1", 9.0), ("2", 1.0), ("3", 5.0)):
        queue.push("a", cost, item)
    assert [queue.pop() for _ in range(4)] == ["1", "2", "3", None]


def test_one_who_asks_for_little_does_not_wait_for_all_of_one_who_asks_for_much() -> None:
    queue = FairQueue[str]()
    for number in range(12):
        queue.push("greedy", 40.0, f"large {number}")
    assert popped(queue) == "large 0"
    queue.push("modest", 2.0, "small")
    assert popped(queue) == "small"


def test_those_who_always_wait_get_equal_parts_of_the_cost() -> None:
    queue, costs, served = FairQueue[str](), {"a": 1.0, "b": 4.0}, Counter[str]()
    for client, cost in costs.items():
        for _ in range(6):
            queue.push(client, cost, client)
    while sum(served.values()) < 1000:
        client = popped(queue)
        served[client] += costs[client]
        queue.push(client, costs[client], client)
    assert abs(served["a"] - served["b"]) <= 2 * max(costs.values())


def test_one_who_was_idle_has_earned_nothing() -> None:
    queue = FairQueue[str]()
    for _ in range(100):
        queue.push("a", 1.0, "a")
        queue.pop()
    for _ in range(4):
        queue.push("a", 1.0, "a")
        queue.push("b", 1.0, "b")
    assert sorted(popped(queue) for _ in range(4)) == ["a", "a", "b", "b"]


def test_what_is_nobodys_waits_for_no_part() -> None:
    queue = FairQueue[str]()
    for number in range(3):
        queue.push("a", 1.0, f"a{number}")
        queue.push("", 5.0, f"nobody's {number}")
    assert [queue.pop() for _ in range(4)] == ["a0", "nobody's 0", "nobody's 1", "nobody's 2"]
