"""The address that is connected to is the one that was checked."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator

import pytest

from server.dialling.dial import Guard, resolve
from server.errors import SourceForbidden, SourceUnreachable
from server.security.addresses import IPAddress, address_rules

RULES = address_rules(("127.0.0.2/32",), (), is_local=False)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.2", 0)) as listening:
        yield listening


def test_a_name_is_resolved_once_and_its_allowed_address_is_taken(listener: socket.socket) -> None:
    answers = iter((["127.0.0.1", "127.0.0.2"], ["127.0.0.1"]))

    def rebinding(_: str) -> list[IPAddress]:
        return [ipaddress.ip_address(one) for one in next(answers)]

    guard = Guard(RULES, rebinding)
    port = listener.getsockname()[1]
    with guard.connect("cam.example", port) as made:
        assert made.getpeername() == ("127.0.0.2", port)
    with pytest.raises(SourceForbidden):
        guard.connect("cam.example", port)


def test_what_cannot_be_reached_is_explained(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    with pytest.raises(SourceUnreachable, match=r"refused\.$"):
        Guard(RULES).connect("127.0.0.2", port)

    def unknown(_: str) -> list[IPAddress]:
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.raises(SourceUnreachable, match="no such host"):
        Guard(RULES, unknown).connect("cam.example", 1)


def test_the_system_resolves_addresses_in_any_notation() -> None:
    assert resolve("127.1") == [ipaddress.ip_address("127.0.0.1")]
