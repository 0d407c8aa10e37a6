"""Check over TLS that the service in this container takes work: ``healthcheck`` runs it.

Exits with 0, or with 1 and the reason. It imports little, since it runs every few seconds.
"""

import socket
import ssl
import sys

TIMEOUT_SECONDS = 4.0
REQUEST = b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def reason(port: int) -> "str | None":
    """Return why the service takes no work; None if it does."""
    try:
        with (
            socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS) as plain,
            _unverified().wrap_socket(plain) as secured,
        ):
            secured.sendall(REQUEST)
            answer = secured.makefile("rb").read(10_000).decode(errors="replace")
    except OSError as error:
        return f"Nothing answers on port {port}: {error}."
    return None if answer.startswith("HTTP/1.1 200 ") else answer.rpartition("\r\n")[2]


def _unverified() -> ssl.SSLContext:
    """Return a context that takes any certificate: it names the service, not 127.0.0.1."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


if __name__ == "__main__":
    sys.exit(reason(int(sys.argv[1])))
