"""Resolving a host once, and connecting to an address that was checked.

The address that is checked is the one that is connected to, so a name whose next answer differs
(DNS rebinding) gains nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from server.errors import SourceFault, SourceUnreachable
from server.security.addresses import AddressRules, IPAddress, allowed, check_host, literal

CONNECT_SECONDS = 10.0
"""Seconds to connect to each address of a host."""

Resolve = Callable[[str], Sequence[IPAddress]]
"""Returns the addresses of a name. Raises OSError if there are none."""


def resolve(host: str) -> list[IPAddress]:
    """Return the addresses of a name as the system resolves it. Raises OSError."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(str(place[0]).partition("%")[0]) for *_, place in found]


@dataclass(frozen=True, slots=True)
class Guard:
    """Decides what may be opened, and connects to it."""

    rules: AddressRules
    resolve: Resolve = resolve

    def addresses(self, host: str) -> list[IPAddress]:
        """Return the addresses of a host that may be opened, at least one.

        Raises SourceForbidden if there is none, SourceUnreachable if there is no such host.
        """
        check_host(host, self.rules)
        address = literal(host)
        return [address] if address is not None else self._resolved(host)

    def connect(self, host: str, port: int) -> socket.socket:
        """Return a connection to a host. Raises SourceForbidden or SourceUnreachable."""
        fault: SourceFault | None = None
        for address in self.addresses(host):
            try:
                made = socket.create_connection((str(address), port), CONNECT_SECONDS)
            except OSError as error:
                reason = error.strerror or "it did not answer"
                fault = SourceUnreachable(f"The source cannot be reached: {reason}.")
            else:
                made.settimeout(None)
                with suppress(OSError):
                    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return made
        assert fault is not None
        raise fault

    def _resolved(self, host: str) -> list[IPAddress]:
        try:
            found = self.resolve(host)
        except (OSError, UnicodeError):
            raise SourceUnreachable(
                "The source cannot be reached: there is no such host."
            ) from None
        return allowed(found, host, self.rules)
