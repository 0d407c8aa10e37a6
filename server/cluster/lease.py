"""How long an owner may act on a row that it took: only the decision, in seconds of one clock.

The database keeps a row for its owner until the lease expires by the database's own clock. The
owner cannot see that clock, so it counts from before it sent the request, which is never later than
the moment at which the database granted the lease, and stops earlier by a margin.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Terms:
    """Times in seconds: the ``lease`` that each renewal grants, the pause between renewals, and by
    how much the owner stops before the database would let another take the row."""

    lease: float = 3.0
    renew: float = 1.0
    margin: float = 0.5


@dataclass(frozen=True, slots=True)
class Lease:
    """A row held under ``epoch``: its owner acts before ``until``, and renews it at ``due``."""

    epoch: int
    until: float
    due: float


def granted(epoch: int, asked: float, terms: Terms) -> Lease:
    """Return the lease of a row that was requested at ``asked`` and granted some time later."""
    return Lease(epoch, asked + terms.lease - terms.margin, asked + terms.renew)


def renewed(lease: Lease, asked: float, terms: Terms) -> Lease:
    """Return the lease after a renewal that was requested at ``asked``."""
    fresh = granted(lease.epoch, asked, terms)
    return replace(fresh, until=max(lease.until, fresh.until))


def is_held(lease: Lease, now: float) -> bool:
    """Return whether the owner may still act."""
    return now < lease.until


def is_due(lease: Lease, now: float) -> bool:
    """Return whether the lease should be renewed."""
    return now >= lease.due
