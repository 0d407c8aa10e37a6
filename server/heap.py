"""Care of the process's heaps: Python's after loading, the C library's after a video."""

from __future__ import annotations

import ctypes
import gc
import os

_M_ARENA_MAX = -8
"""The number of this parameter in glibc's malloc.h."""


def share_arenas() -> None:
    """Let all threads share one arena per core; do nothing if the C library is not glibc.

    glibc makes up to eight per core, and each keeps the holes that its threads leave: with streams
    that come and go, free memory grew by 11 MiB per minute while the memory in use stayed the same.
    Arenas that exist remain, so call this before threads are started.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, os.cpu_count() or 1)


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
