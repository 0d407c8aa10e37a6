"""The rows of pulled streams, watched while servers die: how long a stream has no owner."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from contextlib import closing

import sqlalchemy as sql

from server.database.clock import seconds_now
from server.database.connection import Database
from server.database.schema import STREAMS

STALL_SECONDS = 0.5
"""If nothing happens here for so long, the machine stands still, and no server takes a stream."""


class RowWatch:
    """Reads the rows all the time. ``two_away`` returns when two servers were last away, which
    still counts for ``lately`` seconds.

    Mutable state: for how long a stream was free at most, while one server was away and while two
    were; the last owner and place of each stream; when the machine stood still.
    """

    def __init__(self, url: str, two_away: Callable[[], float], lately: float) -> None:
        self.free = {1: 0.0, 2: 0.0}
        self.faults: list[str] = []
        self._two_away = two_away
        self._lately = lately
        self._stalled = -math.inf
        self._last: dict[str, tuple[float, int, int]] = {}
        self._url = url
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> RowWatch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()

    def _run(self) -> None:
        lasts = (STREAMS.c.expires - seconds_now()).label("lasts")
        with closing(Database(self._url)) as database:
            looked = time.monotonic()
            while not self._ends.wait(0.05):
                with database.begin() as connection:
                    rows = connection.execute(sql.select(STREAMS, lasts)).all()
                before, looked = looked, time.monotonic()
                if looked - before > STALL_SECONDS:
                    self._stalled = looked
                for row in rows:
                    self._look(row)
                self._measure(max((-row.lasts for row in rows), default=0.0), looked)

    def _measure(self, free: float, now: float) -> None:
        lately = now - self._lately
        if self._stalled < lately:
            away = 2 if self._two_away() > lately else 1
            self.free[away] = max(self.free[away], free)

    def _look(self, row: sql.Row[tuple[object, ...]]) -> None:
        """Check that an earlier owner of a film has not taken its place back."""
        place = row.definition.get("place") or {"sent": -1}
        now = row.created, row.epoch, place["sent"]
        if now < self._last.get(row.name, now):
            self.faults.append(f"{row.name}: {self._last[row.name]} became {now}")
        self._last[row.name] = now
