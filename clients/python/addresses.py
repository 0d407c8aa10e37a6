"""The server's addresses, from what a user types."""

from __future__ import annotations

from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from clients.python.errors import ClientError

_SOCKET_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}
_WEB_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


def stream_address(url: str, model: str | None = None) -> str:
    """The WebSocket address of a stream: ``http://host:8000`` -> ``ws://host:8000/v1/stream``.

    A path that is given is kept. Raises ClientError where ``url`` is no address.
    """
    parts = _split(url)
    query = dict(parse_qsl(parts.query))
    if model is not None:
        query["model"] = model
    path = parts.path if parts.path.strip("/") else "/v1/stream"
    return urlunsplit((_SOCKET_SCHEMES[parts.scheme], parts.netloc, path, urlencode(query), ""))


def web_address(url: str) -> str:
    """The server's root for REST: scheme and host, with the path it is mounted under."""
    parts = _split(url)
    path = parts.path.removesuffix("/").removesuffix("/v1/stream").removesuffix("/v1")
    return urlunsplit((_WEB_SCHEMES[parts.scheme], parts.netloc, path, "", ""))


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        known = parts.scheme in _SOCKET_SCHEMES and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise ClientError(f"{url!r} is not a server's address: give one like http://localhost:8000")
    return parts
