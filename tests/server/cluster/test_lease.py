"""An owner stops before the database would let another one begin."""

from __future__ import annotations

import pytest

from server.cluster.lease import Terms, granted, is_due, is_held, renewed

TERMS = Terms(lease=3.0, renew=1.0, margin=0.5)


@pytest.mark.parametrize(("now", "held"), [(10.0, True), (12.49, True), (12.5, False), (99, False)])
def test_a_lease_counts_from_before_the_request_and_ends_early(now: float, held: bool) -> None:
    assert is_held(granted(7, 10.0, TERMS), now) is held


def test_a_lease_is_due_after_a_while() -> None:
    lease = granted(7, 10.0, TERMS)
    assert not is_due(lease, 10.9) and is_due(lease, 11.0)


def test_a_renewal_extends_it_and_keeps_the_epoch() -> None:
    lease = renewed(granted(7, 10.0, TERMS), 12.0, TERMS)
    assert (lease.epoch, lease.until, lease.due) == (7, 14.5, 13.0)


def test_a_renewal_that_was_answered_late_shortens_nothing() -> None:
    lease = renewed(granted(7, 10.0, TERMS), 9.0, TERMS)
    assert lease.until == 12.5


@pytest.mark.parametrize("answer_after", [0.0, 0.3, 2.0])
def test_however_slow_the_answer_the_owner_stops_first(answer_after: float) -> None:
    asked = 10.0
    database_grants_until = asked + answer_after + TERMS.lease
    lease = granted(1, asked, TERMS)
    assert not is_held(lease, database_grants_until - TERMS.margin)
