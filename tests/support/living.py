"""Counts what is still alive: objects by type, threads and files of this process."""

from __future__ import annotations

import gc
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Fresh:
    """Counts objects of some types that did not exist when this was made.

    Objects that earlier tests left are kept here, so that they are not counted, and their ids not
    used again.
    """

    def __init__(self, *kinds: type) -> None:
        gc.collect()
        self._kinds = kinds
        self._before = {id(one): one for one in gc.get_objects() if type(one) in kinds}

    def alive(self) -> dict[str, int]:
        """Return how many of each type are alive, including unreachable ones."""
        found = (one for one in gc.get_objects() if type(one) in self._kinds)
        return dict(Counter(type(one).__name__ for one in found if id(one) not in self._before))

    def reachable(self) -> dict[str, int]:
        """Return the same after a collection."""
        gc.collect()
        return self.alive()


@contextmanager
def without_collector() -> Iterator[None]:
    """Run a block in which objects are freed only by their reference counts.

    Logging is off in it: pytest keeps each record, and with it the exception in it.
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
    """Return the number of this process's file descriptors.

    Those of SQLite are not counted: its pool opens connections when they are first needed, up to a
    fixed number.
    """
    return sum(not _is_database(fd) for fd in Path("/proc/self/fd").iterdir())


def _is_database(fd: Path) -> bool:
    try:
        return fd.readlink().name.startswith("videos.db")
    except FileNotFoundError:  # that of the folder itself
        return False


def children(module: str) -> list[int]:
    """Return the child processes whose command line names ``module``.

    There may be others: multiprocessing starts its own process once and keeps it.
    """
    tasks = Path("/proc/self/task").glob("*/children")
    found = [int(pid) for task in tasks for pid in _text(task).split()]
    return [pid for pid in found if module in _text(Path(f"/proc/{pid}/cmdline"))]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return ""


POOLS = ("pictures", "asyncio_", "videos", "probe", "disk")
"""Threads that are made when they are first needed, up to a fixed number."""


def thread_names() -> list[str]:
    """Return the names of the threads that run, sorted, without those of bounded pools."""
    names = (thread.name for thread in threading.enumerate())
    return sorted(name for name in names if not name.startswith(POOLS))
