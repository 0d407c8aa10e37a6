"""Relays on loopback between FFmpeg and the address that a source names.

FFmpeg resolves names and follows redirects by itself. So it is given the address of a relay, which
makes every connection: for RTSP to the one host, without letting a redirect pass; for HTTP and
HTTPS as a proxy, which FFmpeg also uses for redirects and for the parts of a playlist.
"""

from __future__ import annotations

import selectors
import socket
import ssl
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack, suppress
from threading import Lock, Thread

from server.dialling.dial import CONNECT_SECONDS, Guard
from server.dialling.proxied_request import MAX_HEAD, read_request
from server.dialling.rtsp_framing import RtspFraming
from server.errors import MastreamError, SourceFault, SourceForbidden

MOST_CONNECTIONS = 16
"""Maximum connections at a time; further ones are closed at once. FFmpeg makes few."""

READ_BYTES = 64 * 2**10

TUNNEL = b"HTTP/1.1 200 Connection established\r\n\r\n"

Filter = Callable[[bytes], bytes]

Hold = Callable[[], None]
"""Returns when the client may get the server's bytes. Raises OSError if it may not."""


class Relay(ABC):
    """Accepts connections on its own port until it is closed.

    ``fault`` is why the last connection failed; a refusal stays, and ends every connection.
    ``hold`` is called for each client once it has sent something. Mutable state: the fault, the
    sockets that are open, and a connection that was prepared, under a lock.
    """

    def __init__(self, guard: Guard, hold: Hold | None = None) -> None:
        self._guard = guard
        self._hold = hold
        self._prepared: tuple[str, int, socket.socket] | None = None
        self._lock = Lock()
        self._open: set[socket.socket] = set()
        self._closed = False
        self.fault: SourceFault | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        Thread(target=self._accept, name="relay", daemon=True).start()

    @abstractmethod
    def serve(self, client: socket.socket) -> None:
        """Serve one connection to its end. Raises OSError or MastreamError."""

    def close(self) -> None:
        """End every connection and accept no more. Idempotent."""
        with self._lock:
            self._closed = True
            left = (self._listener, *self._open)
        for one in left:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._take_prepared("", 0)

    def prepare(self, host: str, port: int) -> None:
        """Make the first connection before a client asks for it. Raises SourceFault."""
        made = self._guard.connect(host, port)
        with self._lock:
            self._prepared = host, port, made

    def dial(self, host: str, port: int) -> socket.socket:
        """Return a checked connection. Raises SourceFault."""
        made = self._take_prepared(host, port) or self._guard.connect(host, port)
        if not isinstance(self.fault, SourceForbidden):
            self.fault = None
        return made

    def _take_prepared(self, host: str, port: int) -> socket.socket | None:
        """Return the connection that was prepared; close it if it leads to another place."""
        with self._lock:
            prepared, self._prepared = self._prepared, None
        if prepared is None:
            return None
        if prepared[:2] == (host, port):
            return prepared[2]
        prepared[2].close()
        return None

    def _wait_for_client(self, client: socket.socket) -> None:
        """Wait until a client may get the server's bytes, if that has to be waited for."""
        if self._hold is not None:
            client.recv(1, socket.MSG_PEEK)  # it is connected for sure, and waits for an answer
            self._hold()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with self._lock:
                    is_welcome = not self._closed and len(self._open) < MOST_CONNECTIONS
                    if is_welcome:
                        self._open.add(client)
                if is_welcome:
                    Thread(target=self._run, args=(client,), name="relay", daemon=True).start()
                else:
                    client.close()

    def _run(self, client: socket.socket) -> None:
        with client:
            try:
                with suppress(OSError):
                    self._wait_for_client(client)
                    self.serve(client)
            except SourceFault as fault:
                self._note(fault)
            except MastreamError as error:
                self._note(SourceForbidden(str(error)))
            finally:
                with self._lock:
                    self._open.discard(client)

    def _note(self, fault: SourceFault) -> None:
        """Record a fault, before the client can see that its connection has ended."""
        if isinstance(self.fault, SourceForbidden):
            return
        self.fault = fault
        if isinstance(fault, SourceForbidden):
            self.close()

    def _carry(self, client: socket.socket, server: socket.socket, pass_on: Filter) -> None:
        """Carry bytes both ways until one side ends; bytes of the server pass through ``pass_on``.

        One thread for both, because a TLS socket cannot be used by two.
        """
        with self._lock:
            if self._closed:
                return
            self._open.add(server)
        try:
            carry(client, server, pass_on)
        finally:
            with self._lock:
                self._open.discard(server)


class RtspRelay(Relay):
    """Connects to one RTSP server, with TLS if ``secure``; its certificate is not verified, as
    cameras sign their own."""

    def __init__(
        self, guard: Guard, host: str, port: int, *, secure: bool = False, hold: Hold | None = None
    ) -> None:
        self._place = host, port
        self._tls = _unverified() if secure else None
        super().__init__(guard, hold)

    def serve(self, client: socket.socket) -> None:
        with ExitStack() as stack:
            server = stack.enter_context(self.dial(*self._place))
            if self._tls is not None:
                server.settimeout(CONNECT_SECONDS)
                server = self._tls.wrap_socket(server, server_hostname=self._place[0])
                stack.enter_context(server)
                server.settimeout(None)
            self._carry(client, server, RtspFraming().feed)


class HttpRelay(Relay):
    """A proxy for HTTP and, by CONNECT, for HTTPS. One request per connection."""

    def serve(self, client: socket.socket) -> None:
        request = read_request(_read_head(client))
        with self.dial(request.host, request.port) as server:
            if request.is_tunnel:
                client.sendall(TUNNEL)
            else:
                server.sendall(request.head)
            self._carry(client, server, bytes)


def carry(client: socket.socket, server: socket.socket, pass_on: Filter) -> None:
    """Carry bytes both ways until one side ends. Nothing is buffered: while one side does not read,
    the other is not read."""
    with selectors.DefaultSelector() as ready:
        ready.register(client, selectors.EVENT_READ, (client, server, bytes))
        ready.register(server, selectors.EVENT_READ, (server, client, pass_on))
        while True:
            for key, _ in ready.select():
                source, target, change = key.data
                if not (data := _receive(source)):
                    return
                target.sendall(change(data))


def _receive(source: socket.socket) -> bytes:
    """Return the bytes that have arrived; with TLS also those already decrypted, which would
    otherwise be left behind."""
    data = source.recv(READ_BYTES)
    while data and isinstance(source, ssl.SSLSocket) and (pending := source.pending()):
        data += source.recv(pending)
    return data


def _read_head(client: socket.socket) -> bytes:
    """Return a request's head. Raises OSError if the connection ends first, or the head is too
    long."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        piece = client.recv(MAX_HEAD - len(head))
        if not piece:
            raise OSError("the request has no end")
        head += piece
    return head


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
