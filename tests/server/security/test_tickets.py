"""Tickets: valid once, for 30 s, and limited in number."""

from __future__ import annotations

import pytest

from server.errors import TooMany
from server.security.callers import Caller
from server.security.keys import Role
from server.security.tickets import MAX_TICKETS, TICKET_SECONDS, Tickets

A, GREEDY, OTHER = (Caller(name, Role.SEGMENT) for name in ("a", "greedy", "other"))


def test_a_ticket_is_good_once() -> None:
    tickets = Tickets()
    ticket = tickets.issue(A, 0.0)
    assert tickets.redeem(ticket, 1.0) == A
    assert tickets.redeem(ticket, 1.0) is None


def test_a_ticket_ends_after_its_time() -> None:
    tickets = Tickets()
    early, late = tickets.issue(A, 0.0), tickets.issue(A, 1.0)
    assert tickets.redeem(early, TICKET_SECONDS) is None
    assert tickets.redeem(late, TICKET_SECONDS) == A
    assert len(tickets) == 0


def test_a_ticket_that_was_never_issued_is_not_valid() -> None:
    assert Tickets().redeem("nothing", 0.0) is None


def test_one_key_has_a_bounded_number_and_takes_nobody_elses() -> None:
    tickets = Tickets()
    for _ in range(MAX_TICKETS):
        tickets.issue(GREEDY, 0.0)
    with pytest.raises(TooMany, match="wait a moment"):
        tickets.issue(GREEDY, 1.0)
    assert tickets.redeem(tickets.issue(OTHER, 1.0), 1.0) == OTHER
    assert tickets.issue(GREEDY, TICKET_SECONDS)
