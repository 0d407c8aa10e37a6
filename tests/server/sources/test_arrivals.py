"""Pictures get the arrival of their own packets; watchdogs see the last of each."""

from __future__ import annotations

from server.sources.arrivals import KEPT, Arrival, Arrivals


def test_a_picture_gets_its_own_packets_arrival_in_any_order() -> None:
    arrivals = Arrivals()
    came = {pts: Arrival(at, 1000 + at, camera=at - 1) for at, pts in enumerate((0, 3, 1, 2))}
    for pts, arrival in came.items():
        arrivals.packet(pts, arrival)
    assert [arrivals.frame(pts, 9.0) for pts in range(4)] == [came[pts] for pts in range(4)]
    assert (arrivals.packets, arrivals.frames) == (4, 4)
    assert (arrivals.last_packet, arrivals.last_frame) == (3, 9.0)


def test_a_picture_with_a_time_of_its_own_gets_the_newest() -> None:
    arrivals = Arrivals()
    assert arrivals.last_packet is None and arrivals.last_frame is None
    arrivals.packet(1, Arrival(1.0, 1.0))
    arrivals.packet(2, Arrival(2.0, 2.0))
    assert arrivals.frame(77, 3.0) == arrivals.frame(None, 3.0) == Arrival(2.0, 2.0)


def test_packets_without_a_picture_are_forgotten() -> None:
    arrivals = Arrivals()
    for pts in range(10 * KEPT):
        arrivals.packet(pts, Arrival(pts, pts))
    newest = Arrival(10 * KEPT - 1, 10 * KEPT - 1)
    assert arrivals.frame(0, 0.0) == newest
    assert arrivals.frame(9 * KEPT, 0.0) == Arrival(9 * KEPT, 9 * KEPT)


def test_packets_without_a_picture_are_counted_once_there_was_one() -> None:
    arrivals = Arrivals()
    for pts in range(5):
        arrivals.packet(pts, Arrival(pts, pts))
    assert arrivals.fruitless == 0
    arrivals.frame(0, 5.0)
    for pts in range(5, 8):
        arrivals.packet(pts, Arrival(pts, pts))
    assert arrivals.fruitless == 3
    arrivals.frame(5, 8.0)
    assert arrivals.fruitless == 0
