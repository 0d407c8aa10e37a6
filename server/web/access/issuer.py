"""The public keys of an identity provider: fetched in a thread, kept, and fetched again."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, cast

import httpx

from server.errors import Unavailable
from server.settings.oidc import is_trustworthy
from server.threads import ThreadRunner

KEYS_SECONDS = 3600.0
"""How long keys are used before they are fetched again."""

STALE_SECONDS = 24 * 3600.0
"""How long keys are used while the provider does not answer."""

RETRY_SECONDS = 10.0
"""The minimum time between two fetches, whatever tokens arrive."""

FETCH_SECONDS = 5.0
MAX_BYTES = 2**20

Jwk = Mapping[str, Any]
"""One public key, as the provider describes it (RFC 7517)."""

_DOWN = "The identity provider does not answer: try again in a moment, or use an API key."

_log = logging.getLogger(__name__)


class IssuerKeys:
    """The keys of one issuer by their ``kid``. Mutable state: the keys, when they were fetched,
    when the last fetch was tried, and the running fetch.

    ``fetch`` returns the key set of an issuer; it runs in a thread.
    """

    def __init__(
        self,
        issuer: str,
        fetch: Callable[[str], list[Jwk]] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuer = issuer
        self._fetch = fetch or fetch_keys
        self._clock = clock
        self._keys: dict[str, Jwk] = {}
        self._fetched = self._tried = float("-inf")
        self._running: asyncio.Task[None] | None = None
        self._thread = ThreadRunner("issuer")

    async def find(self, kid: str) -> Jwk | None:
        """Return a key; None if the issuer has no such key. Only a caller that needs an unknown key
        waits for a fetch. Raises Unavailable if the issuer could not be asked."""
        if self._age > KEYS_SECONDS or kid not in self._keys:
            self._refresh()
        if self._age > STALE_SECONDS or kid not in self._keys:
            await self._refreshed()
        found = self._keys.get(kid)
        if self._age > STALE_SECONDS or (found is None and self._fetched < self._tried):
            raise Unavailable(_DOWN)
        return found

    async def close(self) -> None:
        """Wait for the running fetch. Idempotent."""
        await self._refreshed()
        await self._thread.close()

    @property
    def _age(self) -> float:
        """Return how old the keys are, in seconds."""
        return self._clock() - self._fetched

    def _refresh(self) -> None:
        """Start to fetch the keys, unless that was tried a moment ago."""
        if self._running is None and self._clock() - self._tried >= RETRY_SECONDS:
            self._running = asyncio.create_task(self._replace())

    async def _refreshed(self) -> None:
        """Wait for the running fetch, which is shared by all that need it."""
        if self._running is not None:
            await asyncio.shield(self._running)

    async def _replace(self) -> None:
        self._tried = self._clock()
        try:
            keys = await self._thread(self._fetch, self._issuer)
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RecursionError) as error:
            _log.warning("the keys of the identity provider could not be fetched: %r", error)
        else:
            self._keys = {str(key.get("kid", "")): key for key in keys}
            self._fetched = self._tried
        finally:
            self._running = None


def fetch_keys(issuer: str) -> list[Jwk]:
    """Return the public keys of an issuer, at the address in its discovery document.

    Raises an httpx.HTTPError, OSError, or ValueError if an answer is not valid.
    """
    deadline = time.monotonic() + FETCH_SECONDS
    with httpx.Client(timeout=FETCH_SECONDS, follow_redirects=False) as client:
        found = _get(client, f"{issuer.rstrip('/')}/.well-known/openid-configuration", deadline)
        if found.get("issuer") != issuer:
            raise ValueError(f"the issuer calls itself {str(found.get('issuer'))[:200]!r}")
        address = found.get("jwks_uri")
        if not isinstance(address, str) or not is_trustworthy(address):
            raise ValueError("the issuer's jwks_uri is not an https:// address")
        keys = _get(client, address, deadline).get("keys")
    if not isinstance(keys, list):
        raise ValueError("the issuer's key set has no keys")
    return [key for key in keys if isinstance(key, dict)]


def _get(client: httpx.Client, url: str, deadline: float) -> dict[str, Any]:
    """Return a JSON object. Raises ValueError if the answer is not one, too long or too slow."""
    content = bytearray()
    with client.stream("GET", url, headers={"Accept": "application/json"}) as answer:
        answer.raise_for_status()
        for chunk in answer.iter_bytes():
            content += chunk
            if len(content) > MAX_BYTES or time.monotonic() > deadline:
                raise ValueError(f"the answer of {url[:200]} is too long or too slow")
    found = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError(f"the answer of {url[:200]} is not a JSON object")
    return cast("dict[str, Any]", found)
