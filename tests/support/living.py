"""What is still in memory: objects by type, threads and files of this process."""

from __future__ import annotations

import gc
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def living(*kinds: type) -> dict[str, int]:
    """Return how many objects of each type are alive, those that nobody can reach included."""
    found = Counter(type(one) for one in gc.get_objects())
    return {kind.__name__: found[kind] for kind in kinds if found[kind]}


@contextmanager
def without_collector() -> Iterator[None]:
    """Run a block in which objects are freed by their reference counts alone.

    Logging is off in it: pytest keeps each record, and with it the exception that it tells of.
    """
    gc.collect()
    gc.disable()
    logging.disable()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        gc.enable()


def open_files() -> int:
    """Return the number of this process's file descriptors."""
    return len(list(Path("/proc/self/fd").iterdir()))


POOLS = ("pictures", "asyncio_", "videos", "probe", "disk")
"""Threads that are made when they are first needed, up to a fixed number."""


def thread_names() -> list[str]:
    """Return the names of the threads that run, sorted, without those of bounded pools."""
    names = (thread.name for thread in threading.enumerate())
    return sorted(name for name in names if not name.startswith(POOLS))
