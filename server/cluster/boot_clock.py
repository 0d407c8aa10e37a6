"""The clock that leases are measured with: it also runs while the machine sleeps."""

from __future__ import annotations

import time


def boot_seconds() -> float:
    """Return the seconds since the machine started, including time in suspension.

    A monotonic clock stops in suspension, so an expired lease would then still seem valid. If the
    system has no such clock, return the monotonic one.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
