"""Continuous measurement of how late the event loop is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

INTERVAL_SECONDS = 0.02


async def measure_lateness(observe: Callable[[float, float], None]) -> None:
    """Call ``observe`` with the seconds by which the event loop was late, and the time, after every
    interval."""
    while True:
        due = time.monotonic() + INTERVAL_SECONDS
        await asyncio.sleep(INTERVAL_SECONDS)
        now = time.monotonic()
        observe(max(0.0, now - due), now)
