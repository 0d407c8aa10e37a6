"""Keys: a secret is accepted only by its digest, until it is revoked or replaced."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.security.keys import Key, Role, digest_of, new_key, parse_key, rotated

PEPPER = b"0123456789abcdef"


def accepts(key: Key, text: str, now: float = 0.0, pepper: bytes = PEPPER) -> bool:
    parsed = parse_key(text)
    assert parsed is not None
    key_id, secret = parsed
    return key_id == key.id and key.accepts(digest_of(secret, pepper), now)


def made(role: Role = Role.SEGMENT) -> tuple[Key, str]:
    return new_key("somebody", role, (), 0.0, PEPPER)


def secret_in(text: str) -> str:
    """The last part of a key's text, which may contain the separator itself."""
    return text.split("_", 2)[2]


def test_a_key_accepts_its_own_text_and_no_other() -> None:
    key, text = made()
    _, other = made()
    assert accepts(key, text)
    assert not accepts(key, other)
    stolen = f"mas_{key.id}_{secret_in(other)}"
    assert not accepts(key, stolen)


def test_another_servers_secret_accepts_nothing() -> None:
    key, text = made()
    assert not accepts(key, text, pepper=b"fedcba9876543210")


def test_what_is_stored_does_not_contain_the_secret() -> None:
    key, text = made()
    parsed = parse_key(text)
    assert parsed is not None
    assert parsed[1].hex() not in repr(key)
    assert secret_in(text) not in repr(key)


def test_a_revoked_key_accepts_nothing() -> None:
    key, text = made()
    assert not accepts(replace(key, revoked=1.0), text)


def test_after_a_rotation_the_old_text_is_valid_for_the_overlap_alone() -> None:
    key, old = made()
    key, new = rotated(key, 100.0, 10.0, PEPPER)
    assert accepts(key, new, 100.0)
    assert accepts(key, old, 109.9)
    assert not accepts(key, old, 110.0)
    assert accepts(key, new, 110.0)


def test_two_rotations_forget_the_first_text_within_the_overlap() -> None:
    key, first = made()
    key, _ = rotated(key, 100.0, 10.0, PEPPER)
    key, _ = rotated(key, 101.0, 10.0, PEPPER)
    assert not accepts(key, first, 102.0)


@pytest.mark.parametrize(
    "text", ["", "mas", "mas_", "mas__x", "key_ab_cd", "mas_ab_é", "mas_ab_!!!!", "mas_ab_a"]
)
def test_what_is_not_a_key_is_none(text: str) -> None:
    assert parse_key(text) is None


@pytest.mark.parametrize("text", ["mas_ab_", "mas_ab_AAAA"])
def test_a_short_secret_is_a_key_that_nobody_has(text: str) -> None:
    key, _ = made()
    assert parse_key(text) is not None
    assert not accepts(key, text)


def test_roles_are_ordered() -> None:
    assert Role.ADMIN.includes(Role.WATCH)
    assert Role.SEGMENT.includes(Role.SEGMENT)
    assert not Role.WATCH.includes(Role.SEGMENT)
