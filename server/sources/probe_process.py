"""Probing in a process of its own, since a small file may cost much before any limit is checked.

An MP4 of 36 KB may claim 40 million samples, for which the demuxer makes an index of a gigabyte
while it is opened. A process that has imported everything forks a child for each file, so that a
probe costs milliseconds; the child has a limit of memory and of time, and an answer in JSON is all
that comes back of it.
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
    """Calls :func:`probe` in a child that may take ``memory`` bytes and ``seconds``.

    Half of the seconds may be spent computing, the
    rest on reading; None sets no limit. May be called from many threads at once. Its state is the
    process that forks, begun by the first call and anew if it has died.
    """

    def __init__(self, memory: int, seconds: float | None) -> None:
        self._memory = memory
        self._seconds = seconds
        self._lock = Lock()
        self._forks: _Forks | None = None
        self._closed = False

    def __call__(self, path: Path, limits: VideoLimits) -> VideoInfo:
        """Raise as :func:`probe` does, and BadVideo if the file takes more than the child may."""
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
            told = answer.read()
        if self._closed and not told:
            raise Draining(CLOSED)
        return _result(told, self._too_much())

    def close(self) -> None:
        """End the process and the children that are at work. Idempotent."""
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
        raise Fault("The process that looks at videos cannot be started.")

    def _too_much(self) -> str:
        time = "" if self._seconds is None else f", or {self._seconds:g} s,"
        return (
            f"The video is damaged, or needs more than {self._memory >> 20} MiB{time} to be opened."
        )


class _Forks:
    """The process that forks, as its parent sees it. It ends with this process, even if that is
    killed: then its socket is at its end."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                # Numpy's threads would make every fork a fork of many.
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                start_new_session=True,
            )

    def take(self, request: bytes, answer: int) -> bool:
        """Have a request answered on a descriptor; False if the process has died."""
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
    """What a child wrote; nothing if it was killed."""
    try:
        told = json.loads(answer)
        if "info" in told:
            return VideoInfo.from_dict(told["info"])
        error = _ERRORS[told["code"]](told["detail"])
    except (ValueError, TypeError, LookupError):
        raise BadVideo(too_much) from None
    raise error


def serve(requests: socket.socket) -> None:
    """Fork a child for each request until the other side is gone."""
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
    """The child's whole life."""
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
    """Bound this process: the kernel refuses it more memory, and ends it when its time is up."""
    if sys.platform == "linux":  # other kernels do not enforce it
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
