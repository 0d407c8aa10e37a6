"""Exposure: keys are required as soon as others can connect, unless the settings say otherwise."""

from __future__ import annotations

import pytest

from server.errors import BadRequest
from server.security.exposure import Access, access, check_keys_exist
from server.settings import SecuritySettings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "[::1]", "localhost"])
def test_on_loopback_no_key_is_required(host: str) -> None:
    assert access(host, SecuritySettings()) is Access.LOCAL


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.5", "example.org"])
def test_elsewhere_a_key_is_required(host: str) -> None:
    assert access(host, SecuritySettings()) is Access.KEYS


def test_a_container_counts_by_the_address_at_which_it_is_published() -> None:
    assert access("0.0.0.0", SecuritySettings(published="127.0.0.1")) is Access.LOCAL
    assert access("0.0.0.0", SecuritySettings(published="127.0.0.1:9000")) is Access.LOCAL
    assert access("0.0.0.0", SecuritySettings(published="[::1]:9000")) is Access.LOCAL
    assert access("0.0.0.0", SecuritySettings(published="0.0.0.0")) is Access.KEYS
    assert access("127.0.0.1", SecuritySettings(published="0.0.0.0:9000")) is Access.KEYS
    with pytest.raises(BadRequest, match="HOST:PORT"):
        access("0.0.0.0", SecuritySettings(published="127.0.0.1:x"))


def test_settings_decide_otherwise() -> None:
    assert access("127.0.0.1", SecuritySettings(keys="required")) is Access.KEYS
    assert access("0.0.0.0", SecuritySettings(open=True)) is Access.OPEN


def test_keys_that_are_required_must_exist() -> None:
    with pytest.raises(BadRequest, match="mastream keys add NAME --role admin"):
        check_keys_exist(Access.KEYS, 0, "0.0.0.0")
    check_keys_exist(Access.KEYS, 1, "0.0.0.0")
    check_keys_exist(Access.LOCAL, 0, "127.0.0.1")
    check_keys_exist(Access.OPEN, 0, "0.0.0.0")
