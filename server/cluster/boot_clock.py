"""The clock that leases are measured with: it also runs while the machine sleeps."""

from __future__ import annotations

import time


def boot_seconds() -> float:
    """Return the seconds since the machine started, those of suspension included.

    A monotonic clock stops in suspension, so after it an expired lease would seem to last. Where
    there is no such clock, return the monotonic one.
    """
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)
