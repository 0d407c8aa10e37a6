"""The verifier of tokens, according to the settings."""

from __future__ import annotations

import sys

import pytest
from pydantic import ValidationError

from server.errors import BadRequest
from server.settings import OidcSettings
from server.web.access.token_verifier import token_verifier
from server.web.access.tokens import Tokens

LOGIN = OidcSettings(issuer="https://login.example", audience="mastream")


def test_without_an_issuer_there_is_none() -> None:
    assert token_verifier(OidcSettings()) is None


def test_with_an_issuer_tokens_are_verified() -> None:
    assert isinstance(token_verifier(LOGIN), Tokens)


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "server.web.access.tokens", raising=False)
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(BadRequest, match="extra `oidc`"):
        token_verifier(LOGIN)


@pytest.mark.parametrize(
    "issuer", ["http://login.example", "login.example", "https://", "ftp://localhost", "http://[x"]
)
def test_an_issuer_whose_answers_can_be_changed_is_refused(issuer: str) -> None:
    with pytest.raises(ValidationError, match="https"):
        OidcSettings(issuer=issuer, audience="mastream")


def test_an_issuer_needs_an_audience() -> None:
    with pytest.raises(ValidationError, match="needs an audience"):
        OidcSettings(issuer="https://login.example")
