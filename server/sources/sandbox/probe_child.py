"""The process that forks a child to inspect each file, and the child.

    python -m server.sources.sandbox.probe_child [sandboxed]

Its standard input is a socket: each request is a byte with two descriptors. The order is read from
the first one; the answer is written to the second one, as lines of JSON.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from math import ceil
from pathlib import Path

from server.errors import SourceFault
from server.sources.open_file import OpenFile, opened
from server.sources.sandbox.messages import error_to_dict
from server.sources.sandbox.rights import die_with, give_up_rights, import_all, limit_memory
from server.sources.sandbox.surveys import Answer, answers

TAKEN = b"."

Answers = Callable[[Answer, Path | OpenFile], Iterator[Answer]]


SANDBOXED = "sandboxed"
"""The argument of a process whose children give up their rights."""


def run(answer: Answers = answers) -> None:
    """Serve the requests that arrive on the standard input."""
    if SANDBOXED in sys.argv[1:]:
        import_all()
    with socket.socket(fileno=sys.stdin.fileno()) as requests:
        serve(requests, answer)


def serve(requests: socket.socket, answer: Answers) -> None:
    """Fork a child for each request until the other side is closed."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps them
    here = os.getpid()
    while True:
        request, descriptors, _, _ = socket.recv_fds(requests, 1, 2)
        if not request:
            return
        child = os.fork()
        if child == 0:
            _child(requests, here, descriptors, answer)
        handles = _handles(child)
        socket.send_fds(requests, [TAKEN], handles)
        for descriptor in (*descriptors, *handles):
            os.close(descriptor)


def _handles(child: int) -> list[int]:
    """Return a descriptor by which a child can be killed; none if the child has ended, or if the
    system does not support that."""
    if sys.platform != "linux":
        return []
    try:
        return [os.pidfd_open(child)]
    except ProcessLookupError:
        return []


def _child(
    requests: socket.socket, parent: int, descriptors: Sequence[int], answer: Answers
) -> None:
    """Answer one request in the child, then exit."""
    try:
        order, to = descriptors
        die_with(parent)
        requests.close()  # its file must not read the requests for other files
        with os.fdopen(order, "rb") as came:
            request: Answer = json.loads(came.read())
        limit_memory(request["memory"])
        _limit_time(request["seconds"])
        for line in _answered(request, answer):
            _write(to, json.dumps(line).encode() + b"\n")
    finally:
        os._exit(0)


def _answered(request: Answer, answer: Answers) -> Iterator[Answer]:
    path = Path(request["path"])
    if request["rights"]:
        return answer(request, path)
    try:
        file = OpenFile(opened(path), f"file:{path}")
    except SourceFault as fault:
        return iter([error_to_dict(fault)])
    give_up_rights()
    return answer(request, file)


def _limit_time(seconds: float | None) -> None:
    """Have the kernel kill this process when its time is up, or after half of that in CPU time."""
    if seconds is not None:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        computing = ceil(seconds / 2)
        resource.setrlimit(resource.RLIMIT_CPU, (computing, computing))


def _write(to: int, data: bytes) -> None:
    while data:
        data = data[os.write(to, data) :]


if __name__ == "__main__":
    run()
