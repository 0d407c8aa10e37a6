"""The process's heaps: Python's after loading, and the C library's after a video."""

from __future__ import annotations

import ctypes
import gc


def settle() -> None:
    """Take what was loaded for good out of garbage collection: going through all of it stops
    every stream for tens of milliseconds."""
    gc.collect()
    gc.freeze()


def give_back() -> None:
    """Return free native memory to the system; does nothing where the C library is not glibc.

    Each thread that decodes or encodes leaves an arena of its own behind, full of holes of the
    size of pictures. glibc keeps them for its next allocations and never returns them by itself.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
