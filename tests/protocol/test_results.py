import pytest

from protocol import DropCause, Dropped, Failure, GoingAway, ProtocolError


def test_dropped_both_ways() -> None:
    given = {"seqs": [3, 5], "cause": "stale"}
    assert Dropped.from_dict(given) == Dropped((3, 5), DropCause.STALE)
    assert Dropped((3, 5), DropCause.STALE).to_dict() == given


def test_dropped_needs_seqs_and_a_known_cause() -> None:
    with pytest.raises(ProtocolError, match="'cause' must be one of newer"):
        Dropped.from_dict({"seqs": [], "cause": "boredom"})
    with pytest.raises(ProtocolError, match="'seqs' is missing"):
        Dropped.from_dict({"cause": "stale"})


def test_an_error_is_a_problem_with_seq_and_fatal() -> None:
    failure = Failure("engine_fault", "the step failed", 500, seq=4)
    assert failure.to_dict() == {
        "title": "engine fault",
        "status": 500,
        "code": "engine_fault",
        "detail": "the step failed",
        "seq": 4,
        "fatal": False,
    }
    assert Failure.from_dict(failure.to_dict()).seq == 4
    with pytest.raises(ProtocolError, match="'code' is missing"):
        Failure.from_dict({"detail": "?"})


def test_going_away_both_ways() -> None:
    assert GoingAway.from_dict({"reconnect_after_ms": 100}) == GoingAway(100)
    assert GoingAway.from_dict({"taken": 7}) == GoingAway(taken=7)
    assert GoingAway.from_dict({"url": "wss://b/"}) == GoingAway(url="wss://b/")
    assert GoingAway.from_dict({}).to_dict() == {
        "reconnect_after_ms": 0,
        "taken": None,
        "url": None,
    }
