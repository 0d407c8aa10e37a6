"""A stream is avoided for a while, and it is known for as long again that it was."""

from __future__ import annotations

from server.streams.avoided import AVOID_SECONDS, Avoided


def test_it_is_avoided_for_a_while_and_known_for_longer() -> None:
    avoided = Avoided()
    assert not avoided.was("a", 10.0)
    avoided.add("a", 10.0)
    assert avoided.names(10.0 + AVOID_SECONDS - 1) == {"a"}
    assert avoided.names(10.0 + AVOID_SECONDS) == set()
    assert avoided.was("a", 10.0 + 2 * AVOID_SECONDS - 1)
    assert not avoided.was("a", 10.0 + 2 * AVOID_SECONDS)


def test_those_of_long_ago_are_forgotten() -> None:
    avoided = Avoided()
    avoided.add("a", 10.0)
    avoided.add("b", 10.0 + 2 * AVOID_SECONDS)
    assert repr(avoided) == "<Avoided ['b']>"
