"""Tests of what callers may see."""

from __future__ import annotations

import pytest

from server.errors import Forbidden, Unauthorized
from server.security.callers import ANYONE, NOBODY, Caller
from server.security.keys import Role

CAMERA = Caller("mas1", Role.WATCH, frozenset({"gate"}))
UPLOADER = Caller("mas2", Role.SEGMENT)


def test_a_key_owns_what_carries_its_id_and_an_admin_everything() -> None:
    assert UPLOADER.owns("mas2") and not UPLOADER.owns("mas1") and not UPLOADER.owns("")
    assert all(Caller("mas3", Role.ADMIN).owns(owner) for owner in ("mas1", "mas2", ""))
    assert ANYONE.owns("") and ANYONE.owns("mas1")


def test_lists_are_limited_to_a_keys_own() -> None:
    assert UPLOADER.only_own == "mas2"
    assert Caller("mas3", Role.ADMIN).only_own is None
    assert ANYONE.only_own is None


def test_a_key_watches_its_own_streams_and_those_named() -> None:
    assert CAMERA.watches("gate", "mas2") and CAMERA.watches("yard", "mas1")
    assert not CAMERA.watches("yard", "mas2")


def test_a_role_may_do_what_those_before_it_may() -> None:
    UPLOADER.require(Role.WATCH)
    with pytest.raises(Forbidden, match="needs admin"):
        UPLOADER.require(Role.ADMIN)


def test_nothing_belongs_to_a_caller_without_a_key() -> None:
    assert not any(NOBODY.owns(owner) for owner in ("", "mas1"))
    assert not NOBODY.watches("gate", "")
    with pytest.raises(Unauthorized, match="API key"):
        assert NOBODY.only_own
    with pytest.raises(Unauthorized, match="role watch"):
        NOBODY.require(Role.WATCH)
