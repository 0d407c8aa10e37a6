"""Tokens of an identity provider: which are accepted, and what they allow. The provider is real."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from token_issuer import AUDIENCE, Issuer, ec_key, rsa_key, running_issuer

from server.errors import Forbidden, MastreamError, Unauthorized, Unavailable
from server.security.callers import Caller
from server.security.keys import Role
from server.settings import OidcSettings
from server.web.access import issuer as issuing
from server.web.access.issuer import IssuerKeys
from server.web.access.tokens import LEEWAY_SECONDS, Tokens

pytestmark = pytest.mark.anyio


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with running_issuer() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(issuer: Issuer, clock: Clock) -> Tokens:
    settings = OidcSettings(issuer=issuer.url, audience=AUDIENCE)
    return Tokens(settings, IssuerKeys(issuer.url, clock=clock))


async def refusal(tokens: Tokens, token: str) -> MastreamError:
    with pytest.raises(MastreamError) as caught:
        await tokens.verify(token)
    return caught.value


async def test_a_valid_token_identifies_its_caller(tokens: Tokens, issuer: Issuer) -> None:
    ends = int(time.time()) + 60
    token = issuer.token(exp=ends, roles=["watch"], streams=["gate", "yard"])
    caller = await tokens.verify(token)
    assert caller == Caller("oidc:ada", Role.WATCH, frozenset({"gate", "yard"}), float(ends))


async def test_keys_of_elliptic_curves_verify_too(tokens: Tokens, issuer: Issuer) -> None:
    issuer.keys["curve"] = ec_key()
    assert (await tokens.verify(issuer.token("curve"))).id == "oidc:ada"


async def test_a_token_for_several_services_is_accepted(tokens: Tokens, issuer: Issuer) -> None:
    assert await tokens.verify(issuer.token(aud=["other", AUDIENCE]))


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": 0}, "expired"),
        ({"exp": None}, "not valid"),
        ({"nbf": 2**33}, "not valid"),
        ({"aud": "other"}, "not for this server"),
        ({"aud": None}, "not valid"),
        ({"iss": "https://evil.example"}, "not for this server"),
        ({"iss": None}, "not valid"),
        ({"sub": None}, "not valid"),
        ({"sub": ""}, "names no user"),
        ({"sub": 7}, "not valid"),
    ],
)
async def test_what_does_not_hold_is_refused(
    tokens: Tokens, issuer: Issuer, claims: dict[str, object], said: str
) -> None:
    error = await refusal(tokens, issuer.token(**claims))
    assert isinstance(error, Unauthorized)
    assert said in str(error)


async def test_clocks_may_differ_a_little(tokens: Tokens, issuer: Issuer) -> None:
    now = int(time.time())
    assert await tokens.verify(issuer.token(exp=now - LEEWAY_SECONDS // 2))
    assert "expired" in str(await refusal(tokens, issuer.token(exp=now - 2 * LEEWAY_SECONDS)))


async def test_a_token_without_a_role_is_forbidden(tokens: Tokens, issuer: Issuer) -> None:
    for roles in (None, [], "guest", {"segment": True}):
        assert isinstance(await refusal(tokens, issuer.token(roles=roles)), Forbidden)


def forged(header: dict[str, str], claims: dict[str, object], signature: str = "") -> str:
    parts = (base64.urlsafe_b64encode(json.dumps(part).encode()) for part in (header, claims))
    return ".".join(part.rstrip(b"=").decode() for part in parts) + "." + signature


async def test_a_token_without_a_signature_is_refused(tokens: Tokens, issuer: Issuer) -> None:
    for name in ("none", "None", "NONE", ""):
        token = forged({"alg": name, "kid": "first"}, issuer.claims())
        assert isinstance(await refusal(tokens, token), Unauthorized)


async def test_the_public_key_is_no_shared_secret(tokens: Tokens, issuer: Issuer) -> None:
    public = issuer.keys["first"].public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    shared = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    content = forged({"alg": "HS256", "kid": "first"}, issuer.claims())
    signature = base64.urlsafe_b64encode(shared.sign(content[:-1].encode(), pem)).rstrip(b"=")
    assert isinstance(await refusal(tokens, content + signature.decode()), Unauthorized)


async def test_another_key_of_the_same_name_does_not_verify(tokens: Tokens, issuer: Issuer) -> None:
    token = jwt.encode(issuer.claims(), rsa_key(), "RS256", {"kid": "first"})
    assert "not valid" in str(await refusal(tokens, token))


async def test_a_key_for_another_algorithm_does_not_verify(tokens: Tokens, issuer: Issuer) -> None:
    token = jwt.encode(issuer.claims(), ec_key(), "ES256", {"kid": "first"})
    assert "not valid" in str(await refusal(tokens, token))


@pytest.mark.parametrize("text", ["..", "a.b.c", "e30.e30.e30", "x" * 9000 + "..", "é.é.é"])
async def test_what_is_no_token_is_refused(tokens: Tokens, issuer: Issuer, text: str) -> None:
    assert isinstance(await refusal(tokens, text), Unauthorized)
    assert issuer.reads == 0


async def test_deep_json_is_refused(tokens: Tokens) -> None:
    deep = base64.urlsafe_b64encode(b"[" * 5000).rstrip(b"=").decode()
    assert isinstance(await refusal(tokens, f"{deep}.e30.e30"), Unauthorized)


async def test_keys_are_kept(tokens: Tokens, issuer: Issuer) -> None:
    for _ in range(5):
        await tokens.verify(issuer.token())
    assert issuer.reads == 1


async def test_a_rotated_key_is_fetched(tokens: Tokens, issuer: Issuer, clock: Clock) -> None:
    old = issuer.token()
    await tokens.verify(old)
    issuer.keys = {"second": rsa_key()}
    clock.now += issuing.RETRY_SECONDS
    assert (await tokens.verify(issuer.token("second"))).id == "oidc:ada"
    assert "does not have" in str(await refusal(tokens, old))
    assert issuer.reads == 2


async def test_unknown_keys_cause_one_fetch_per_interval(
    tokens: Tokens, issuer: Issuer, clock: Clock
) -> None:
    await tokens.verify(issuer.token())
    for kid in ("a", "b", "c"):
        token = jwt.encode(issuer.claims(), rsa_key(), "RS256", {"kid": kid})
        assert "does not have" in str(await refusal(tokens, token))
    assert issuer.reads == 1
    clock.now += issuing.RETRY_SECONDS
    await refusal(tokens, token)
    assert issuer.reads == 2


async def test_without_an_answer_known_keys_are_used_for_a_day(
    tokens: Tokens, issuer: Issuer, clock: Clock
) -> None:
    await tokens.verify(issuer.token())
    issuer.is_down = True
    clock.now += issuing.KEYS_SECONDS + 1
    assert await tokens.verify(issuer.token())
    clock.now += issuing.STALE_SECONDS
    assert isinstance(await refusal(tokens, issuer.token()), Unavailable)


async def test_an_issuer_that_is_down_is_no_fault_of_the_token(
    tokens: Tokens, issuer: Issuer, clock: Clock
) -> None:
    issuer.is_down = True
    assert isinstance(await refusal(tokens, issuer.token()), Unavailable)
    issuer.is_down = False
    clock.now += issuing.RETRY_SECONDS
    assert await tokens.verify(issuer.token())
