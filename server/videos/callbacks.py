"""Callbacks: which addresses may be called, how calls are signed, and when they are repeated.

Calls follow https://www.standardwebhooks.com, for which libraries exist in most languages. Pure:
time and chance are passed in.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Collection
from dataclasses import replace
from ipaddress import ip_network
from urllib.parse import urlsplit

from server.errors import BadRequest
from server.security.addresses import AddressRules, host_and_port, literal

MAX_URL = 2048
"""Characters."""

SECRET_PREFIX = "whsec_"
FIRST_DELAY = 5.0
LONGEST_DELAY = 3600.0
GIVE_UP_SECONDS = 24 * 3600.0
"""For how many seconds after the end of its video a call is tried."""

_PORTS = {"http": 80, "https": 443}


def check_callback(url: str | None, hosts: Collection[str]) -> str | None:
    """Return an address to call, None if there is none.

    It must be HTTP or HTTPS, and its host must be one of ``hosts``: ``example.org`` for the default
    port, or ``example.org:8443``. Raises BadRequest otherwise.
    """
    if url is None:
        return None
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable():
        raise BadRequest(
            f"The callback_url must be at most {MAX_URL} printable ASCII characters: shorten or "
            "encode it."
        )
    if _host_of(url) not in {host.lower() for host in hosts}:
        raise BadRequest(
            "The server may not call this host: let its operator add the callback_url's host to "
            "MASTREAM_VIDEOS__CALLBACK_HOSTS."
        )
    return url


def callback_rules(rules: AddressRules, hosts: Collection[str]) -> AddressRules:
    """Return the rules for the addresses of ``hosts``: the same as for cameras, except that a
    listed IP address may be called."""
    addresses = (literal(host_and_port(f"http://{host}")[0]) for host in hosts)
    listed = (ip_network(str(address)) for address in addresses if address is not None)
    return replace(rules, hosts=(), networks=(*rules.networks, *listed))


def signed_headers(secret: str, name: str, now: float, body: bytes) -> dict[str, str]:
    """Return the headers that identify and sign a call.

    ``name`` is the same for each attempt at a call. The signature is the HMAC-SHA256 of name, time
    (whole seconds since the epoch) and body, joined by full stops.
    """
    time = str(int(now))
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    signed = hmac.digest(key, f"{name}.{time}.".encode() + body, hashlib.sha256)
    return {
        "webhook-id": name,
        "webhook-timestamp": time,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }


def delay(attempts: int, chance: float) -> float:
    """Return the seconds until the next attempt after ``attempts`` that failed: doubled each time,
    then shortened by up to a half, by ``chance`` in 0..1."""
    doubled = min(LONGEST_DELAY, FIRST_DELAY * 2.0 ** min(attempts - 1, 32))
    return doubled * (1 - chance / 2)


def _host_of(url: str) -> str | None:
    """Return the host of an address, with its port unless that is the default; None if it is not an
    address that may be called."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if parts.scheme not in _PORTS or host is None or "@" in parts.netloc or "\\" in url:
        return None
    return host if port in (None, _PORTS[parts.scheme]) else f"{host}:{port}"
