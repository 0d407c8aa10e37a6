"""Which addresses the server may open for others: cameras, RTSP servers and callbacks.

Without a check, anyone who may add a camera could make the server connect to anything that it can
reach: its own ports, other machines of its network, the metadata service of a cloud. Pure: names
are resolved elsewhere; this module judges each address that a name resolves to.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from server.errors import BadRequest, SourceForbidden

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
"""The schemes whose connections can be checked, with their usual ports."""

_HOME = [
    ipaddress.ip_network(block)
    for block in (
        "127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10",
        "::1/128", "fc00::/7",
    )
]  # fmt: skip
"""The usual places of cameras: this machine and private networks."""

_SPECIAL = [
    ipaddress.ip_network(block)
    for block in (
        "100.100.100.200/32", "168.63.129.16/32", "192.0.0.0/24", "192.88.99.0/24",
        "fd00:ec2::254/128", "fd20:ce::254/128",
        "::/96", "64:ff9b:1::/48", "2001::/23", "2002::/16", "3fff::/20", "5f00::/16", "fec0::/10",
    )
]  # fmt: skip
"""Metadata services outside the link-local network, and addresses that lead to another one."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class AddressRules:
    """``networks`` may be opened in addition to public addresses, and only ``hosts`` if there are
    any: names, or ``*.example.org`` for all names below one. ``home``: loopback and private
    networks may be opened without being listed."""

    networks: tuple[Network, ...] = ()
    hosts: tuple[str, ...] = ()
    home: bool = False

    @property
    def is_strict(self) -> bool:
        """Return whether every connection must be made by the server itself, to be checked."""
        return not self.home or bool(self.hosts)


def address_rules(
    networks: Sequence[str] | None, hosts: Sequence[str], *, is_local: bool
) -> AddressRules:
    """Return the rules of the settings; private networks need no listing if ``networks`` is None
    and only this machine can use the server. Raises ValueError if one is not a network."""
    listed = tuple(ipaddress.ip_network(one) for one in networks or ())
    names = tuple(one.lower().rstrip(".") for one in hosts)
    return AddressRules(listed, names, home=is_local and networks is None)


def host_and_port(url: str) -> tuple[str, int]:
    """Return the host that a URL names, in ASCII and lower case, and its port.

    Raises BadRequest if another program could read another host from it.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise BadRequest("The address has no valid host and port: correct it.") from None
    name = parts.netloc.rpartition("@")[2]
    odd = "\\" in url or parts.netloc.count("@") > 1 or any(ord(c) <= 32 for c in url)
    if not host or odd or "%" in name:
        raise BadRequest(
            "The address has no unambiguous host: escape @ and \\ in its password, and leave out "
            "a zone such as %eth0."
        )
    return plain_name(host), port if port is not None else PORTS.get(parts.scheme, 0)


def plain_name(host: str) -> str:
    """Return a host as it is resolved: IDNA, lower case, without trailing dot. Raises BadRequest if
    it is not a valid name."""
    try:
        name = host.encode("idna").decode() if not host.isascii() else host
    except UnicodeError:
        raise BadRequest("The address has no valid host name: correct it.") from None
    name = name.lower().removesuffix(".")
    if not name or len(name) > 253:
        raise BadRequest("The address has no valid host name: correct it.")
    return name


def literal(host: str) -> IPAddress | None:
    """Return the address that a host is, in any notation that a resolver accepts (127.1, 0x7f.1,
    2130706433, octal); None if it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def check_host(host: str, rules: AddressRules) -> None:
    """Raise SourceForbidden if a host, as :func:`host_and_port` returns it, may not be opened;
    check only what needs no name resolution."""
    address = literal(host)
    if rules.hosts and not _is_listed(host, rules.hosts):
        raise SourceForbidden(
            f"The server may not open {host[:80]}: let its operator add the host to "
            "MASTREAM_LIVE__HOSTS."
        )
    if address is not None and not is_allowed(address, rules):
        raise forbidden(host)


def allowed(found: Sequence[IPAddress], host: str, rules: AddressRules) -> list[IPAddress]:
    """Return the addresses of a host that may be opened, in order. Raises SourceForbidden if there
    is none."""
    fit = [address for address in found if is_allowed(address, rules)]
    if not fit:
        raise forbidden(host)
    return fit


def is_allowed(address: IPAddress, rules: AddressRules) -> bool:
    """Return whether an address may be opened: whether it is public, listed, or at home."""
    address = _inner(address)
    if any(address in network for network in rules.networks):
        return True
    if address.is_multicast or address.is_unspecified or address.is_link_local:
        return False
    if any(address in network for network in _SPECIAL):
        return rules.home and address.is_loopback
    if any(address in network for network in _HOME):
        return rules.home
    return address.is_global and not address.is_reserved


def forbidden(host: str) -> SourceForbidden:
    """Return the error for a host that has no address that may be opened."""
    return SourceForbidden(
        f"The server may not open {host[:80]}: its address is not public. Let the operator add its "
        "network to MASTREAM_LIVE__NETWORKS."
    )


def _inner(address: IPAddress) -> IPAddress:
    """Return the IPv4 address that an IPv6 address stands for, if the system connects to that."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def _is_listed(host: str, hosts: Sequence[str]) -> bool:
    return any(
        host.endswith(one[1:]) and len(host) > len(one) - 1 if one.startswith("*.") else host == one
        for one in hosts
    )
