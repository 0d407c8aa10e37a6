"""Who can reach the server, and whether they need a key."""

from __future__ import annotations

import ipaddress
from enum import StrEnum

from server.errors import BadRequest
from server.settings import SecuritySettings


class Access(StrEnum):
    """Who may use the server."""

    LOCAL = "local"
    """Everybody on this machine; nobody else can connect."""

    KEYS = "keys"
    """Whoever has a key."""

    OPEN = "open"
    """Everybody who can connect: it was set so."""


def access(host: str, security: SecuritySettings) -> Access:
    """Return who may use a server that listens on ``host``."""
    if security.open:
        return Access.OPEN
    if security.keys == "auto" and is_loopback(security.published or host):
        return Access.LOCAL
    return Access.KEYS


def check_keys_exist(who: Access, count: int, host: str) -> None:
    """Raise BadRequest if keys are required but there are none."""
    if who is Access.KEYS and not count:
        raise BadRequest(
            f"Others can connect to {host}, but there is no API key. Make one with `mastream keys "
            "add NAME --role admin`, listen on 127.0.0.1, or let everybody in with "
            "MASTREAM_SECURITY__OPEN=true."
        )


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect to an address or name."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
