"""Tickets: good once, for 30 s, and a bounded number of them."""

from __future__ import annotations

import pytest

from server.errors import TooMany
from server.security.tickets import MAX_TICKETS, TICKET_SECONDS, Tickets


def test_a_ticket_is_good_once() -> None:
    tickets = Tickets()
    ticket = tickets.issue("a", 0.0)
    assert tickets.redeem(ticket, 1.0) == "a"
    assert tickets.redeem(ticket, 1.0) is None


def test_a_ticket_ends_after_its_time() -> None:
    tickets = Tickets()
    early, late = tickets.issue("a", 0.0), tickets.issue("a", 1.0)
    assert tickets.redeem(early, TICKET_SECONDS) is None
    assert tickets.redeem(late, TICKET_SECONDS) == "a"
    assert len(tickets) == 0


def test_a_ticket_that_was_never_issued_is_not_valid() -> None:
    assert Tickets().redeem("nothing", 0.0) is None


def test_one_key_has_a_bounded_number_and_takes_nobody_elses() -> None:
    tickets = Tickets()
    for _ in range(MAX_TICKETS):
        tickets.issue("greedy", 0.0)
    with pytest.raises(TooMany, match="wait a moment"):
        tickets.issue("greedy", 1.0)
    assert tickets.redeem(tickets.issue("other", 1.0), 1.0) == "other"
    assert tickets.issue("greedy", TICKET_SECONDS)
