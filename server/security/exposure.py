"""Who can reach the server, and whether they need a key."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from urllib.parse import urlsplit

from server.errors import BadRequest
from server.settings import SecuritySettings


class Access(StrEnum):
    """Who may use the server."""

    LOCAL = "local"
    """Everybody on this machine; nobody else can connect."""

    KEYS = "keys"
    """Everybody who has a key."""

    OPEN = "open"
    """Everybody who can connect, because it was set so."""


def access(host: str, security: SecuritySettings) -> Access:
    """Return who may use a server that listens on ``host``."""
    if security.open:
        return Access.OPEN
    if security.keys == "auto" and _is_local(security.published or host):
        return Access.LOCAL
    return Access.KEYS


def check_keys_exist(who: Access, count: int, host: str) -> None:
    """Raise BadRequest if keys are required but there are none."""
    if who is Access.KEYS and not count:
        raise BadRequest(
            f"Others can connect to {host}, but there is no API key. Make one with `mastream keys "
            "add NAME --role admin` (in docker: `docker compose run --rm mastream keys add NAME "
            "--role admin`), listen on 127.0.0.1, or let everybody in with "
            "MASTREAM_SECURITY__OPEN=true."
        )


def host_and_port(address: str, port: int) -> tuple[str, int]:
    """Split `name`, `name:8000`, `::1` or `[::1]:8000`; ``port`` is the default.

    Raises BadRequest if its port is not valid.
    """
    if address.count(":") > 1 and not address.startswith("["):
        return address, port
    parts = urlsplit(f"//{address}")
    try:
        return parts.hostname or "", parts.port or port
    except ValueError as error:
        raise BadRequest(f"{address} is not an address with a port: write HOST:PORT.") from error


def _is_local(address: str) -> bool:
    return is_loopback(host_and_port(address, 0)[0])


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect to an address or name."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
