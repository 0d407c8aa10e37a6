"""Probing in a separate process, since a small file may use many resources before any limit is
checked.

An MP4 of 36 KB may claim 40 million samples, for which the demuxer makes an index of a gigabyte
when opening it. A process that has imported everything forks a child for each file, so that a probe
takes milliseconds; the child has limits on memory and time, and returns only an answer in JSON. In
a sandbox it gives up its rights first, as a decoder does.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing, suppress
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import TypeVar

from server.errors import BadVideo, Draining, Fault
from server.frame import VideoInfo
from server.sources.cuts import Cuts, KeyFrame
from server.sources.probing import VideoLimits
from server.sources.sandbox.messages import NONSENSE
from server.sources.sandbox.pipe import pipe, write_all
from server.sources.sandbox.probe_answer import Child
from server.sources.sandbox.probe_child import SANDBOXED, TAKEN
from server.sources.sandbox.rights import child_environment
from server.sources.sandbox.surveys import (
    Order,
    cuts_of,
    cuts_order,
    found_of,
    info_of,
    probe_order,
    seek_order,
)

CHILD = "server.sources.sandbox.probe_child"

CLOSED = "The server is shutting down: send the video again in a minute."

T = TypeVar("T")


class Prober:
    """Reads files in child processes that may each take ``memory`` bytes and ``seconds``.

    At most half of the seconds may be CPU time; None sets no limit. With ``sandboxed`` a child can
    access nothing but the file's bytes; ``module`` runs in it. Many threads may call it at once.
    Mutable state: the process that forks, started by the first call and again if it has died.
    """

    def __init__(
        self, memory: int, seconds: float | None, *, sandboxed: bool = False, module: str = CHILD
    ) -> None:
        self._memory = memory
        self._seconds = seconds
        self._sandboxed = sandboxed
        self._module = module
        self._lock = Lock()
        self._forks: _Forks | None = None
        self._closed = False

    def __call__(self, path: Path, limits: VideoLimits) -> VideoInfo:
        """Return the result of :func:`probe`.

        Raises the errors of probe, BadVideo if the file exceeds the child's limits, and Draining
        after :meth:`close`.
        """
        return self._ask(path, probe_order(limits), lambda lines: info_of(lines, limits))

    def cuts(self, path: Path, rate: Fraction | None, max_pixels: int) -> Cuts:
        """Return the result of :func:`read_cuts`. Raises as a call does."""
        return self._ask(path, cuts_order(rate, max_pixels), cuts_of)

    def can_seek(self, path: Path, keys: Iterable[KeyFrame], max_pixels: int) -> bool:
        """Return the result of :func:`can_seek`. Raises as a call does."""
        return self._ask(path, seek_order(keys, max_pixels), found_of)

    def close(self) -> None:
        """Kill the process and its children. Idempotent."""
        with self._lock:
            self._closed = True
            if self._forks is not None:
                self._forks.end()
                self._forks = None

    def _ask(self, path: Path, order: Order, read: Callable[[Iterable[bytes]], T]) -> T:
        whole = {
            **order,
            "path": str(path.absolute()),
            "memory": self._memory,
            "seconds": self._seconds,
            "rights": not self._sandboxed,
        }
        try:
            child = self._child_for(json.dumps(whole).encode())
        except OSError as error:
            raise Fault(f"No process can be started that reads the video: {error}.") from error
        with closing(child):
            try:
                return read(child.lines(self._seconds))
            except NONSENSE:
                if self._closed:
                    raise Draining(CLOSED) from None
                raise BadVideo(self._too_much()) from None

    def _child_for(self, order: bytes) -> Child:
        """Return the child that carries out an order; one that has died before it has read the
        order is noticed at its answer. Raises OSError if there are too many open files."""
        theirs, orders = pipe()
        with theirs, orders, ExitStack() as unless_it_lives:
            answer, writer = pipe()
            with writer:
                child = unless_it_lives.enter_context(closing(Child(answer)))
                child.handle = self._hand_over(theirs.fileno(), writer.fileno())
            theirs.close()
            write_all(orders, order)
            unless_it_lives.pop_all()
        return child

    def _hand_over(self, order: int, answer: int) -> int | None:
        """Return what stands for the child."""
        with self._lock:
            if self._closed:
                raise Draining(CLOSED)
            for _ in range(2):
                if self._forks is None:
                    self._forks = _Forks(self._module, self._sandboxed)
                try:
                    return self._forks.take(order, answer)
                except OSError:
                    self._forks.end()
                    self._forks = None
        raise Fault("The process that probes videos cannot be started.")

    def _too_much(self) -> str:
        time = "" if self._seconds is None else f" or {self._seconds:g} s"
        limits = f"{self._memory >> 20} MiB{time}"
        return f"The video is damaged, or opening it exceeds the limit of {limits}."


class _Forks:
    """The parent's side of the process that forks.

    That process ends with this one, even if this one is killed, because its socket is then closed.
    """

    def __init__(self, module: str, sandboxed: bool) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs, ExitStack() as unless_it_lives:
            unless_it_lives.enter_context(self._socket)
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *([SANDBOXED] if sandboxed else [])],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                env=child_environment(),
                start_new_session=True,
            )
            unless_it_lives.pop_all()

    def take(self, order: int, answer: int) -> int | None:
        """Let a child answer an order; return a descriptor by which it can be killed, None if there
        is none. Raises OSError if the process has died."""
        socket.send_fds(self._socket, [TAKEN], [order, answer])
        taken, found, _, _ = socket.recv_fds(self._socket, 1, 1)
        if taken != TAKEN:
            raise BrokenPipeError
        return found[0] if found else None

    def end(self) -> None:
        with self._socket:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
