"""Probing in a separate process, since a small file may cost much before any limit is checked.

An MP4 of 36 KB may claim 40 million samples, for which the demuxer makes an index of a gigabyte
when opening it. A process that has imported everything forks a child for each file, so that a probe
takes milliseconds; the child has limits on memory and time, and returns only an answer in JSON.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from math import ceil
from pathlib import Path
from threading import Lock
from typing import Any

from server.errors import (
    BadVideo,
    Draining,
    Fault,
    MastreamError,
    SourceFault,
    TooLarge,
    UnsupportedMedia,
)
from server.frame import VideoInfo
from server.sources.probing import VideoLimits, probe

CLOSED = "The server is shutting down: send the video again in a minute."

_REQUEST_BYTES = 2**16
_TAKEN = b"."
_ERRORS = {kind.code: kind for kind in (BadVideo, UnsupportedMedia, TooLarge, SourceFault, Fault)}


class Prober:
    """Calls :func:`probe` in a child process that may take ``memory`` bytes and ``seconds``.

    At most half of the seconds may be CPU time; None sets no limit. Many threads may call it at
    once. Mutable state: the process that forks, started by the first call and again if it has died.
    """

    def __init__(self, memory: int, seconds: float | None) -> None:
        self._memory = memory
        self._seconds = seconds
        self._lock = Lock()
        self._forks: _Forks | None = None
        self._closed = False

    def __call__(self, path: Path, limits: VideoLimits) -> VideoInfo:
        """Return what :func:`probe` returns.

        Raises the errors of probe, BadVideo if the file exceeds the child's limits, and Draining
        after :meth:`close`.
        """
        request = {
            "path": str(path.absolute()),
            "limits": asdict(limits),
            "memory": self._memory,
            "seconds": self._seconds,
        }
        reader, writer = os.pipe()
        with os.fdopen(reader, "rb") as answer:
            try:
                self._hand_over(json.dumps(request).encode(), writer)
            finally:
                os.close(writer)
            data = answer.read()
        if self._closed and not data:
            raise Draining(CLOSED)
        return _result(data, self._too_much())

    def close(self) -> None:
        """Kill the process and its children. Idempotent."""
        with self._lock:
            self._closed = True
            if self._forks is not None:
                self._forks.end()
                self._forks = None

    def _hand_over(self, request: bytes, answer: int) -> None:
        with self._lock:
            if self._closed:
                raise Draining(CLOSED)
            for _ in range(2):
                if self._forks is None:
                    self._forks = _Forks()
                if self._forks.take(request, answer):
                    return
                self._forks.end()
                self._forks = None
        raise Fault("The process that probes videos cannot be started.")

    def _too_much(self) -> str:
        time = "" if self._seconds is None else f" or {self._seconds:g} s"
        limits = f"{self._memory >> 20} MiB{time}"
        return f"The video is damaged, or opening it exceeds the limit of {limits}."


class _Forks:
    """The parent's side of the process that forks.

    That process ends with this one, even if this one is killed, because its socket is closed then.
    """

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                # A process with NumPy's threads cannot be forked safely.
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )

    def take(self, request: bytes, answer: int) -> bool:
        """Let a child answer a request on a descriptor; return False if the process has died."""
        try:
            socket.send_fds(self._socket, [request], [answer])
            return self._socket.recv(1) == _TAKEN
        except OSError:
            return False

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._socket.close()


def _result(answer: bytes, too_much: str) -> VideoInfo:
    """Return the child's result or raise its error; an empty answer means that it was killed."""
    try:
        result = json.loads(answer)
        if "info" in result:
            return VideoInfo.from_dict(result["info"])
        error = _ERRORS[result["code"]](result["detail"])
    except (ValueError, TypeError, LookupError):
        raise BadVideo(too_much) from None
    raise error


def serve(requests: socket.socket) -> None:
    """Fork a child for each request until the other side is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps them
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, _REQUEST_BYTES, 1)
        if not request:
            return
        if os.fork() == 0:
            _child(json.loads(request), descriptors[0])
        os.close(descriptors[0])
        requests.send(_TAKEN)


def _child(request: dict[str, Any], answer: int) -> None:
    """Answer one request in the child, then exit."""
    try:
        _limit(request["memory"], request["seconds"])
        os.write(answer, json.dumps(_probe(request)).encode())
    finally:
        os._exit(0)


def _probe(request: dict[str, Any]) -> dict[str, Any]:
    try:
        info = probe(Path(request["path"]), VideoLimits(**request["limits"]))
    except MastreamError as error:
        return {"code": error.code, "detail": str(error)}
    return {"info": info.to_dict()}


def _limit(memory: int, seconds: float | None) -> None:
    """Limit this process: the kernel refuses it more memory, and kills it when its time is up."""
    if sys.platform == "linux":  # other kernels do not enforce the memory limit
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + memory, taken + memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if seconds is not None:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        computing = ceil(seconds / 2)
        resource.setrlimit(resource.RLIMIT_CPU, (computing, computing))


if __name__ == "__main__":
    with socket.socket(fileno=sys.stdin.fileno()) as requests:
        serve(requests)
