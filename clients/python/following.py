"""Where a stream connects: to its entry point, or to a server that another one named. Pure
decisions.

A server that stops or is full names the socket of another one in ``going_away``. A client goes
there without waiting, at most ``MAX_HOPS`` times between two answers, and back to its entry point
if that fails.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from urllib.parse import urlsplit, urlunsplit

from clients.python.errors import ClientError, GoneAway

MAX_HOPS = 4


@dataclass(frozen=True, slots=True)
class Route:
    """``entry`` is the address that the user gave, ``address`` the one to connect to; ``hops``
    counts how often a server has named another since the last answer."""

    entry: str
    address: str
    hops: int = 0

    @property
    def is_named(self) -> bool:
        """Return whether a server has just named the address, so that there is no need to wait."""
        return self.hops > 0


def entrance(entry: str) -> Route:
    """Return the route of a new stream."""
    return Route(entry, entry)


def after(route: Route, error: ClientError) -> Route:
    """Return the route after ``error`` ended a connection or an attempt to connect."""
    url = error.url if isinstance(error, GoneAway) else None
    if url is None or route.hops >= MAX_HOPS or not may_follow(route.entry, url):
        return entrance(route.entry)
    return Route(route.entry, _with_query(url, route.entry), route.hops + 1)


def onward(route: Route, error: ClientError) -> Route:
    """Return the route to the server that ``error`` names. Raises ``error`` if it names no server
    to which a client may go."""
    route = after(route, error)
    if not route.is_named:
        raise error
    return route


def answered(route: Route) -> Route:
    """Return the route once a frame was answered: the server works."""
    return replace(route, hops=0)


def may_follow(entry: str, url: str) -> bool:
    """Return whether a client that entered at ``entry`` may connect to ``url``: only to a WebSocket
    whose address names no user, and never from TLS to a socket without it."""
    try:
        parts = urlsplit(url)
        known = parts.port != 0 and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False
    return known and parts.scheme in (
        ("wss",) if urlsplit(entry).scheme == "wss" else ("ws", "wss")
    )


def _with_query(url: str, entry: str) -> str:
    """Return the address with the entry's query, such as the model, unless it has a query
    itself."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=parts.query or urlsplit(entry).query))
