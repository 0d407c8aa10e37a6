"""Writes one recording in a separate thread, so that the stream never waits for the disk."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Thread
from typing import BinaryIO

from server.recordings.recording_file import MAGIC, encode
from server.recordings.records import Ending, Why

_log = logging.getLogger(__name__)

QUEUE_BYTES = 64 * 2**20
QUEUE_ITEMS = 4096
ENDING_BYTES = 256
"""Bytes kept free within the limit: more than the last block needs."""

Item = Callable[[], bytes]
"""Returns a block. It is called in the writer's thread, where pictures are encoded and hashed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one recording: of its file, its duration, and the bytes that may wait for the
    disk."""

    nbytes: int
    seconds: float
    queue_bytes: int = QUEUE_BYTES


class Writer:
    """Writes what is put into it, in order, until it is ended or reaches a limit.

    The file is made with the first item. If the disk is so slow that the queue is full, the
    recording ends; the queued items are still written, and an Ending with the reason. ``prepare``
    is called in the thread before the file is made, ``on_bytes`` with the size of each block that
    was written, and ``on_end`` when the file is closed.

    Mutable state, guarded by the condition: the queue with its bytes, and why no more is taken.
    """

    def __init__(
        self,
        path: Path,
        limits: Limits,
        *,
        prepare: Callable[[], None] = lambda: None,
        on_bytes: Callable[[int], None] = lambda _: None,
        on_end: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = path
        self._limits = limits
        self._prepare = prepare
        self._on_bytes = on_bytes
        self._on_end = on_end
        self._clock = clock
        self._deadline = clock() + limits.seconds
        self._changed = Condition()
        self._queue: deque[tuple[int, Item]] = deque()
        self._held = 0
        self._why: Why | None = None
        # A daemon: a disk that hangs must not keep the process from ending.
        self._thread = Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Writer {self.path.name} {self._why or 'open'}: {len(self._queue)} items wait>"

    @property
    def ended(self) -> Why | None:
        """Return why it accepts no more items, None while it does."""
        return self._why

    @property
    def waiting_bytes(self) -> int:
        """Return the bytes that wait for the disk."""
        return self._held

    def put(self, item: Item, nbytes: int = 0) -> None:
        """Queue an item that keeps ``nbytes`` alive. Ignored once the recording has ended."""
        with self._changed:
            if self._why is not None:
                return
            if self._clock() >= self._deadline:
                self._end("seconds")
            elif self._is_full(nbytes):
                self._end("slow_disk")
            else:
                self._queue.append((nbytes, item))
                self._held += nbytes
                self._changed.notify()

    def end(self, why: Why) -> None:
        """Accept no more items; those in the queue are still written. Idempotent."""
        with self._changed:
            self._end(why)

    def join(self, seconds: float) -> None:
        """Wait until the file is closed, for at most ``seconds``."""
        self._thread.join(seconds)

    def _is_full(self, nbytes: int) -> bool:
        if len(self._queue) >= QUEUE_ITEMS:
            return True
        return bool(self._queue) and self._held + nbytes > self._limits.queue_bytes

    def _end(self, why: Why) -> None:
        self._why = self._why or why
        self._changed.notify()

    def _run(self) -> None:
        try:
            if (first := self._next()) is not None:
                self._prepare()
                with self.path.open("xb") as file:
                    self._write(file, first)
        except OSError as error:
            _log.warning("the recording %s ends: %s", self.path.name, error.strerror)
        except Exception:
            _log.exception("the recording %s ends", self.path.name)
        finally:
            with self._changed:
                self._end("stopped")
                self._queue.clear()
                self._held = 0
            self._on_end()

    def _write(self, file: BinaryIO, first: Item) -> None:
        file.write(MAGIC)
        left = self._limits.nbytes - len(MAGIC) - ENDING_BYTES
        item: Item | None = first
        while item is not None:
            block = item()
            left -= len(block)
            if left < 0:
                self.end("bytes")
                break
            file.write(block)
            file.flush()  # so that a server that is killed leaves all records but the last
            self._on_bytes(len(block))
            item = self._next()
        assert self._why, "the queue ended without a reason"
        file.write(encode(Ending(why=self._why)))

    def _next(self) -> Item | None:
        """Wait for the next item and return it; None once all are written after the end."""
        with self._changed:
            while not self._queue and self._why is None:
                if (left := self._deadline - self._clock()) <= 0:
                    self._end("seconds")
                    break
                self._changed.wait(left)
            if not self._queue:
                return None
            nbytes, item = self._queue.popleft()
            self._held -= nbytes
            return item
