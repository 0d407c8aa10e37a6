"""The server's addresses, from what a user types."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

import httpx

from clients.python.errors import ClientError

EXAMPLE = "http://localhost:8000"

_CREDENTIALS = re.compile(r"(?<=://)[^\s/?#]*@")

_SOCKET_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_WEB_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


def stream_address(url: str, model: str | None = None) -> str:
    """Return the WebSocket address of a stream: ``http://host:8000`` gives
    ``ws://host:8000/v1/stream``.

    A path in ``url`` is kept. Raises ClientError if ``url`` is not an address.
    """
    parts = _split(url)
    query = dict(parse_qsl(parts.query))
    if model is not None:
        query["model"] = model
    path = parts.path if parts.path.strip("/") else "/v1/stream"
    return urlunsplit((_SOCKET_SCHEMES[parts.scheme], parts.netloc, path, urlencode(query), ""))


def web_address(url: str) -> str:
    """Return the server's root for REST: scheme, host and the path it is mounted under.

    Raises ClientError if ``url`` is not an address.
    """
    parts = _split(url)
    path = parts.path.removesuffix("/").removesuffix("/v1/stream").removesuffix("/v1")
    return urlunsplit((_WEB_SCHEMES[parts.scheme], parts.netloc, path, "", ""))


def shown(text: str) -> str:
    """Return a text without the user names and passwords of the addresses in it, for messages."""
    return _CREDENTIALS.sub("", text)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        known = parts.scheme in _SOCKET_SCHEMES and parts.port != 0 and _is_host(parts)
        known = known and not any(letter.isspace() for letter in url)
    except (httpx.InvalidURL, ValueError):
        known = False
    if not known:
        raise ClientError(f"{shown(url)!r} is not a server's address; give one like {EXAMPLE}.")
    return parts


def _is_host(parts: SplitResult) -> bool:
    """Return whether there is a host name that libraries can look up; they may raise instead."""
    name = parts.hostname or ""
    name.encode("idna")
    return bool(name and httpx.URL(f"http://{parts.netloc}").host)
