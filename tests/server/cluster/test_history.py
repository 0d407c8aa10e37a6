"""Changes are the differences between two observations."""

from __future__ import annotations

from server.cluster.history import KEPT, Change, Condition, History

HELD_BY_A, HELD_BY_B, FREE = Condition("held", "a"), Condition("held", "b"), Condition("free")


def test_what_differs_from_the_last_look_is_noted_with_its_time() -> None:
    history = History("stream", "removed", iter([7.0, 8.0, 9.0, 9.0]).__next__)
    history.look({"one": HELD_BY_A})
    assert list(history.changes) == [], "what was there before is no change"
    history.look({"one": HELD_BY_A})
    history.look({"one": FREE})
    history.look({"one": HELD_BY_B})
    history.look({"two": FREE})
    assert list(history.changes) == [
        Change(7.0, "stream", "one", FREE),
        Change(8.0, "stream", "one", HELD_BY_B),
        Change(9.0, "stream", "one", Condition("removed")),
        Change(9.0, "stream", "two", FREE),
    ]


def test_only_the_last_are_kept() -> None:
    history = History("server", "gone", lambda: 0.0)
    for number in range(KEPT + 2):
        history.look({f"{number}": Condition("alive")})
    assert len(history.changes) == KEPT
    assert history.changes[-1].name == f"{KEPT + 1}"
