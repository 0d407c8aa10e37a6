"""FFmpeg's request to an HTTP proxy: a tunnel (CONNECT), or one request to pass on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from server.errors import BadRequest
from server.security.addresses import host_and_port

MAX_HEAD = 32 * 2**10

_LINE = re.compile(r"([A-Z]+) (\S+) HTTP/1\.[01]")
_HOP = ("connection:", "proxy-", "host:", "keep-alive:")


@dataclass(frozen=True, slots=True)
class ProxiedRequest:
    """The host to connect to, and the head to send there (empty for a tunnel)."""

    host: str
    port: int
    head: bytes

    @property
    def is_tunnel(self) -> bool:
        return not self.head


def read_request(head: bytes) -> ProxiedRequest:
    """Parse a request's head, including its empty line. Raises BadRequest."""
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    found = _LINE.fullmatch(first)
    if found is None:
        raise BadRequest("The request is not a request to a proxy: name a whole address.")
    method, target = found.groups()
    if method == "CONNECT":
        return ProxiedRequest(*host_and_port(f"https://{target}"), head=b"")
    if not target.startswith("http://"):
        raise BadRequest("The proxy passes on only http://: use CONNECT.")
    host, port = host_and_port(target)
    authority = urlsplit(target).netloc.rpartition("@")[2]
    kept = [line for line in lines if not line.lower().startswith(_HOP)]
    path = re.sub(r"^http://[^/?#]*", "", target).partition("#")[0]
    asked = path if path.startswith("/") else f"/{path}"
    given = (f"{method} {asked} HTTP/1.1", f"Host: {authority}", "Connection: close", *kept)
    return ProxiedRequest(host, port, ("\r\n".join(given) + "\r\n\r\n").encode("latin-1"))
