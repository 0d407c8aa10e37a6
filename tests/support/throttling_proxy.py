"""A slow connection: a TCP proxy that passes so many bytes per second to the server, and back.

with throttling_proxy(server_port, bytes_per_second=50_000) as port:
    http://127.0.0.1:PORT
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

PIECE = 2048
"""Bytes that are passed at once: few, so that the rate is even."""

BUFFER = 16_384
"""Bytes that the sockets hold, so that a sender soon notices the rate."""


@contextmanager
def throttling_proxy(port: int, bytes_per_second: float) -> Iterator[int]:
    """Listen on a free loopback port in front of the one on ``port``, and yield it. Each connection
    has the rate for itself, in each direction."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        sockets: list[socket.socket] = [listener]
        serving = threading.Thread(
            target=_serve, args=(listener, port, bytes_per_second, sockets), daemon=True
        )
        serving.start()
        try:
            yield listener.getsockname()[1]
        finally:
            for one in sockets:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
                one.close()
            serving.join(10)


def _serve(listener: socket.socket, port: int, rate: float, sockets: list[socket.socket]) -> None:
    with suppress(OSError):
        while True:
            client = listener.accept()[0]
            server = socket.create_connection(("127.0.0.1", port))
            server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            sockets += [client, server]
            for ends in ((client, server), (server, client)):
                threading.Thread(target=_pass, args=(*ends, rate), daemon=True).start()


def _pass(source: socket.socket, sink: socket.socket, rate: float) -> None:
    """Pass bytes on until either end closes, then close both."""
    with suppress(OSError):
        while data := source.recv(PIECE):
            sink.sendall(data)
            time.sleep(len(data) / rate)
    for one in (source, sink):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
