"""Endings: each error has its close code and its word."""

from __future__ import annotations

import pytest

from protocol import CloseCode, Failure, GoingAway, ProtocolError
from server.errors import Draining, EngineDead, NoCapacity, NotFound, OutOfSequence, TooSlow
from server.streams.ending import ENDED, ending_of, going_away


@pytest.mark.parametrize(
    ("error", "close", "word"),
    [
        (NoCapacity("full"), 4503, "no_capacity"),
        (Draining("soon gone"), 1013, "draining"),
        (NotFound("nobody"), 4404, "not_found"),
        (OutOfSequence("2 after 3"), 4422, "out_of_sequence"),
        (TooSlow("asleep"), 4408, "too_slow"),
        (EngineDead("gone"), 1011, "engine_dead"),
        (ProtocolError("not JSON"), 4400, "bad_message"),
        (ProtocolError("huge", "too_large", CloseCode.TOO_BIG), 1009, "too_large"),
    ],
)
def test_an_error_is_reported_and_then_closed_with(error: Exception, close: int, word: str) -> None:
    last = ending_of(error, seq=3)
    assert (last.close, last.reason) == (close, word)
    assert isinstance(last.message, Failure) and last.message.fatal
    assert (last.message.code, last.message.seq) == (word, 3)
    assert last.message.detail == str(error)


def test_a_foreign_error_is_a_fault_without_its_words() -> None:
    last = ending_of(RuntimeError("password=secret"))
    assert (last.close, last.reason) == (1011, "fault")
    assert isinstance(last.message, Failure) and "secret" not in last.message.detail


def test_good_ends_have_their_codes_too() -> None:
    assert (ENDED.close, ENDED.reason) == (1000, "end")
    last = going_away(7)
    assert (last.close, last.reason) == (1012, "going_away")
    assert isinstance(last.message, GoingAway) and last.message.taken == 7
