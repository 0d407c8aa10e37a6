"""The end of standard input: a sign that the parent process has ended."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

CHUNK = 4096


def call_at_eof(descriptor: int, ended: Callable[[], None]) -> threading.Thread:
    """Call ``ended`` once, in another thread, when nothing more can be read from ``descriptor``.

    What is read is ignored. The thread does not keep the process alive.
    """
    watcher = threading.Thread(target=_watch, args=(descriptor, ended), name="stdin", daemon=True)
    watcher.start()
    return watcher


def _watch(descriptor: int, ended: Callable[[], None]) -> None:
    try:
        while os.read(descriptor, CHUNK):
            pass
    except OSError:  # it is closed, or a terminal that is gone: nothing more can be read
        pass
    ended()
