"""Which Host and Origin a request may name.

A page of another site can make a browser send requests here, and read the answers if its own name
resolves to this server (DNS rebinding). So a request that a browser sends for a page of another
site is refused. While no key protects the server, so is a name that is not this server's.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from server.errors import Forbidden, Misdirected
from server.security.exposure import Access


def check_host(host: str, who: Access, known: Collection[str]) -> None:
    """Raise Misdirected if a request's Host is a name that is not this server's.

    Addresses are accepted, since no name is resolved to get here. If keys are required, every name
    is accepted: a browser does not send this server's cookie to another name.
    """
    name = host_name(host)
    if who is Access.KEYS or not host or name == "localhost" or name in known or _is_address(name):
        return
    raise Misdirected(
        f"This server does not know the name {name[:80]!r}: use its address, or add the name to "
        "MASTREAM_SECURITY__HOSTS."
    )


def check_origin(origin: str, host: str, allowed: Collection[str]) -> None:
    """Raise Forbidden if a browser sends a request for a page of another site.

    Programs send no Origin and pass.
    """
    if not origin or origin in allowed or _authority(origin) == host.lower():
        return
    raise Forbidden(
        f"Pages of {origin[:80]!r} may not use this server: if they should, add it to "
        "MASTREAM_SECURITY__ORIGINS."
    )


def host_name(host: str) -> str:
    """Return the name or address in a Host header, without its port and brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return host


def _authority(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
