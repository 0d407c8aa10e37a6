"""Sessions: a cookie that cannot be made, changed or prolonged without the server's secret."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.security.keys import Role, new_key, rotated
from server.security.sessions import key_id_in, session_of, verify

PEPPER = b"0123456789abcdef"
KEY, _ = new_key("somebody", Role.WATCH, (), 0.0, PEPPER)
COOKIE = session_of(KEY, 100.0, PEPPER)


def test_a_session_is_valid_until_its_end() -> None:
    assert key_id_in(COOKIE) == KEY.id
    assert verify(COOKIE, KEY, 99.0, PEPPER)
    assert not verify(COOKIE, KEY, 100.0, PEPPER)


def test_it_cannot_be_prolonged() -> None:
    head, _, signature = COOKIE.rpartition(".")
    assert not verify(f"{head.partition('.')[0]}.200.{signature}", KEY, 99.0, PEPPER)


def test_it_ends_when_the_key_is_rotated_or_revoked() -> None:
    assert not verify(COOKIE, rotated(KEY, 1.0, 0.0, PEPPER)[0], 2.0, PEPPER)
    assert not verify(COOKIE, replace(KEY, revoked=1.0), 2.0, PEPPER)


@pytest.mark.parametrize("cookie", ["", ".", "..", "a.b.c", "ID.\u0661\u0660.x", "ID.100.é"])
def test_anything_else_is_not_valid(cookie: str) -> None:
    assert not verify(cookie.replace("ID", KEY.id), KEY, 1.0, PEPPER)
