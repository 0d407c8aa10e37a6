"""A slow connection: a TCP proxy that passes only a limited number of bytes per second to the
server.

with throttling_proxy(server_port) as line:
    http://127.0.0.1:PORT with line.port
    line.bytes_per_second = 10_000
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

PIECE = 1024
"""Bytes that are passed on at once: few, so that the rate is even."""

BUFFER = 8192
"""Bytes that the sockets hold, so that a sender soon notices the rate."""


@dataclass
class Line:
    """Mutable state: the rate of each connection towards the server, and what serves them."""

    port: int
    bytes_per_second: float = float("inf")
    sockets: list[socket.socket] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)


@contextmanager
def throttling_proxy(port: int) -> Iterator[Line]:
    """Listen on a free loopback port in front of the one on ``port``, at first without a limit."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        line = Line(listener.getsockname()[1], sockets=[listener])
        serving = threading.Thread(target=_serve, args=(listener, port, line), daemon=True)
        serving.start()
        try:
            yield line
        finally:
            for one in line.sockets:
                _shut(one)
            serving.join(10)
            for passing in line.threads:
                passing.join(10)
            for one in line.sockets:
                one.close()


def _serve(listener: socket.socket, port: int, line: Line) -> None:
    with suppress(OSError):
        while True:
            client = listener.accept()[0]
            server = socket.create_connection(("127.0.0.1", port))
            server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            line.sockets += [client, server]
            for source, sink, slowed in ((client, server, line), (server, client, None)):
                passing = threading.Thread(target=_pass, args=(source, sink, slowed), daemon=True)
                passing.start()
                line.threads.append(passing)


def _pass(source: socket.socket, sink: socket.socket, line: Line | None) -> None:
    """Pass bytes on until either end closes, then close both."""
    with suppress(OSError):
        while data := source.recv(PIECE if line else 65536):
            sink.sendall(data)
            if line:
                time.sleep(len(data) / line.bytes_per_second)
    _shut(source)
    _shut(sink)


def _shut(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
