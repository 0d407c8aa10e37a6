"""Care of the process's heaps: Python's after loading, the C library's after a video."""

from __future__ import annotations

import ctypes
import gc


def settle() -> None:
    """Exclude what was loaded for good from garbage collection: scanning all of it would stop
    every stream for tens of milliseconds."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Return free native memory to the system; do nothing if the C library is not glibc.

    Each thread that decodes or encodes leaves an arena with holes of the size of pictures. glibc
    keeps them for its next allocations and never returns them by itself.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
