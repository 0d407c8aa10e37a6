"""Transactions that wait for the locks of others."""

from __future__ import annotations

import time

import sqlalchemy as sql


def until_one_waits(connection: sql.Connection) -> None:
    """Return when another transaction waits for a lock."""
    waiting = sql.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    deadline = time.monotonic() + 5
    while not connection.scalar(waiting):
        assert time.monotonic() < deadline, "nobody waits"
        time.sleep(0.01)
