"""The public keys of an issuer: when they are fetched, by which caller, and which answers are
refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from threading import Event

import pytest
from token_issuer import Issuer, running_issuer

from server.errors import Unavailable
from server.web.access import issuer as issuing
from server.web.access.issuer import IssuerKeys, Jwk, fetch_keys

pytestmark = pytest.mark.anyio


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


def test_the_keys_of_an_issuer(issuer: Issuer) -> None:
    assert [(key["kid"], key["kty"]) for key in fetch_keys(issuer.url)] == [("first", "RSA")]


def test_an_issuer_that_calls_itself_otherwise_is_not_believed(issuer: Issuer) -> None:
    where, issuer.url = issuer.url, "https://other.example"
    with pytest.raises(ValueError, match=r"calls itself 'https://other\.example'"):
        fetch_keys(where)


def test_keys_are_not_read_from_where_they_could_be_changed(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"issuer": issuer.url, "jwks_uri": "http://keys.example/"}
    monkeypatch.setattr(issuer, "answer", lambda _: document)
    with pytest.raises(ValueError, match="not an https"):
        fetch_keys(issuer.url)


def test_an_answer_that_is_too_long_is_not_read(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuing, "MAX_BYTES", 20)
    with pytest.raises(ValueError, match="too long"):
        fetch_keys(issuer.url)


async def test_all_share_one_fetch_and_the_loop_continues_meanwhile() -> None:
    has_asked, may_answer, asked = Event(), Event(), []

    def fetch(issuer: str) -> list[Jwk]:
        asked.append(issuer)
        has_asked.set()
        assert may_answer.wait(30)
        return [{"kid": "a"}]

    keys = IssuerKeys("https://login.example", fetch)
    waiting = [asyncio.create_task(keys.find("a")) for _ in range(20)]
    assert await asyncio.to_thread(has_asked.wait, 30)
    waiting[0].cancel()
    may_answer.set()
    assert await asyncio.gather(*waiting[1:]) == [{"kid": "a"}] * 19
    assert asked == ["https://login.example"]
    await keys.close()


async def test_who_needs_a_known_key_does_not_wait() -> None:
    now, may_answer, asked = [0.0], Event(), []

    def fetch(issuer: str) -> list[Jwk]:
        asked.append(issuer)
        assert len(asked) == 1 or may_answer.wait(30)
        return [{"kid": "a", "fetched": len(asked)}]

    keys = IssuerKeys("https://login.example", fetch, clock=lambda: now[0])
    assert await keys.find("a") == {"kid": "a", "fetched": 1}
    now[0] = issuing.KEYS_SECONDS + 1
    assert await keys.find("a") == {"kid": "a", "fetched": 1}
    may_answer.set()
    await keys.close()
    assert await keys.find("a") == {"kid": "a", "fetched": 2}


async def test_an_issuer_that_fails_is_asked_again_only_after_a_while() -> None:
    now, asked = [0.0], []

    def fetch(issuer: str) -> list[Jwk]:
        asked.append(issuer)
        raise OSError("no route")

    keys = IssuerKeys("https://login.example", fetch, clock=lambda: now[0])
    for now[0] in (0.0, 1.0, issuing.RETRY_SECONDS - 0.1, issuing.RETRY_SECONDS):
        with pytest.raises(Unavailable, match="identity provider"):
            await keys.find("a")
    assert len(asked) == 2
    await keys.close()
