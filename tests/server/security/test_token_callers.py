"""Callers with a token: what claims grant, and cookies that cannot be made or changed."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from server.errors import Forbidden, Unauthorized
from server.security.callers import Caller
from server.security.keys import Role
from server.security.token_callers import (
    caller_from,
    id_of,
    is_token,
    is_token_session,
    token_session,
    verify_token_session,
)
from server.settings import OidcSettings

PEPPER = b"0123456789abcdef"
PLAIN = OidcSettings()
ADA = Caller("oidc:ada", Role.WATCH, frozenset({"gate"}), 100.0)


def claims(**more: Any) -> dict[str, Any]:
    return {"sub": "ada", "exp": 100, **more}


@pytest.mark.parametrize(
    ("roles", "role"),
    [
        ("watch", Role.WATCH),
        (["segment"], Role.SEGMENT),
        (["watch", "admin", "segment", "guest"], Role.ADMIN),
        ("openid segment", Role.SEGMENT),
    ],
)
def test_the_highest_role_counts(roles: object, role: Role) -> None:
    assert caller_from(claims(roles=roles), PLAIN).role is role


@pytest.mark.parametrize("roles", [None, [], "", "Admin", ["administrators"], 7, [7], {"admin": 1}])
def test_without_a_role_nothing_is_allowed(roles: object) -> None:
    with pytest.raises(Forbidden, match="claim 'roles'"):
        caller_from(claims(roles=roles), PLAIN)


def test_roles_can_have_other_names_and_lie_deeper() -> None:
    settings = OidcSettings(role_claim="realm_access.roles", roles={"video-staff": "segment"})
    deep = claims(realm_access={"roles": ["video-staff", "admin"]})
    assert caller_from(deep, settings).role is Role.SEGMENT


def test_a_claim_whose_own_name_has_full_stops() -> None:
    settings = OidcSettings(role_claim="https://lab.example/roles")
    assert (
        caller_from(claims(**{"https://lab.example/roles": "watch"}), settings).role is Role.WATCH
    )


@pytest.mark.parametrize("streams", [["gate", "yard"], "gate yard"])
def test_streams_are_a_list_or_a_text(streams: object) -> None:
    caller = caller_from(claims(roles="watch", streams=streams), PLAIN)
    assert caller == Caller("oidc:ada", Role.WATCH, frozenset({"gate", "yard"}), 100.0)


def test_ids_may_be_logged_and_fit_into_a_row() -> None:
    odd = ["a\nb", "a b", "é", "x" * 60, "x" * 61, "sha256:" + "0" * 48]
    ids = [id_of(one) for one in odd]
    assert len(set(ids)) == len(odd)
    assert all(len(one) <= 64 and one.isascii() and one.isprintable() for one in ids)
    assert id_of("auth0|5f7c8ec7c33c") == "oidc:auth0|5f7c8ec7c33c"


@pytest.mark.parametrize("subject", [None, "", 7])
def test_a_token_names_somebody(subject: object) -> None:
    with pytest.raises(Unauthorized, match="names no user"):
        id_of(subject)


def test_tokens_are_distinguished_from_keys() -> None:
    assert is_token("a.b.c")
    assert not is_token("mas_0123456789ab_AAAA")


def test_a_session_is_valid_until_its_token_ends() -> None:
    cookie = token_session(ADA, PEPPER)
    assert is_token_session(cookie)
    assert verify_token_session(cookie, 99.0, PEPPER) == ADA
    assert verify_token_session(cookie, 100.0, PEPPER) is None
    assert verify_token_session(cookie, 99.0, b"another secret of a server") is None


def test_a_session_cannot_be_changed() -> None:
    _, _, signature = token_session(ADA, PEPPER).split(".")
    content = json.dumps(["oidc:ada", "admin", 100.0, []]).encode()
    forged = f"token.{base64.urlsafe_b64encode(content).decode()}.{signature}"
    assert verify_token_session(forged, 1.0, PEPPER) is None


@pytest.mark.parametrize("cookie", ["token.", "token..", "token.a.é", "token.é.x", "token"])
def test_anything_else_is_no_session(cookie: str) -> None:
    assert verify_token_session(cookie, 1.0, PEPPER) is None


def test_a_session_fits_into_a_cookie() -> None:
    many = frozenset(f"a-stream-with-number-{number}" for number in range(200))
    with pytest.raises(Forbidden, match="too many streams"):
        token_session(Caller("oidc:ada", Role.WATCH, many, 100.0), PEPPER)
