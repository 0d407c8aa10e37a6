"""Host and Origin: pages of other sites, and names of others for this server, are refused."""

from __future__ import annotations

import pytest

from server.errors import Forbidden, Misdirected
from server.security.exposure import Access
from server.security.origins import check_host, check_origin


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "10.0.0.7", "", "seg:80"],
)
@pytest.mark.parametrize("who", [Access.LOCAL, Access.OPEN])
def test_addresses_localhost_and_known_names_are_this_server(host: str, who: Access) -> None:
    check_host(host, who, ["seg"])


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.nip.io", "[x"],
)
@pytest.mark.parametrize("who", [Access.LOCAL, Access.OPEN])
def test_other_names_are_not(host: str, who: Access) -> None:
    with pytest.raises(Misdirected, match="MASTREAM_SECURITY__HOSTS"):
        check_host(host, who, ["seg"])


def test_with_keys_every_name_is_accepted() -> None:
    check_host("seg.example.org", Access.KEYS, [])


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("", "localhost:8000"),
        ("http://localhost:8000", "localhost:8000"),
        ("https://seg.example", "SEG.example"),
        ("https://friend.example", "localhost:8000"),
    ],
)
def test_its_own_pages_programs_and_allowed_sites_pass(origin: str, host: str) -> None:
    check_origin(origin, host, ["https://friend.example"])


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example", "localhost:8000"),
        ("http://localhost:9000", "localhost:8000"),
        ("null", "localhost:8000"),
        ("http://friend.example", "localhost:8000"),
        ("http://[", "localhost:8000"),
    ],
)
def test_pages_of_other_sites_are_refused(origin: str, host: str) -> None:
    with pytest.raises(Forbidden, match="MASTREAM_SECURITY__ORIGINS"):
        check_origin(origin, host, ["https://friend.example"])
