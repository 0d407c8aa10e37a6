"""The keyring: for how long a key that was read and a ticket are valid."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from server.database.connection import open_database
from server.database.keys import KeyRows
from server.errors import Unauthorized
from server.security.callers import caller_of
from server.security.keys import Role, new_key
from server.security.tickets import TICKET_SECONDS
from server.settings import Settings
from server.web.access.keyring import FRESH_SECONDS, Keyring

PEPPER = b"0123456789abcdef"


@dataclass
class Clocks:
    """Mutable state: the time of day, and the seconds since the start."""

    day: float = 100_000.0
    since: float = 0.0


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[KeyRows]:
    database = open_database(Settings(folder=tmp_path))
    yield KeyRows(database)
    database.close()


def keyring_of(rows: KeyRows, clocks: Clocks) -> Keyring:
    keyring = Keyring(PEPPER, 60.0, clock=lambda: clocks.day, since=lambda: clocks.since)
    keyring.use(rows)
    return keyring


def test_a_clock_that_is_set_back_keeps_no_revoked_key_valid(rows: KeyRows) -> None:
    key, text = new_key("first", Role.SEGMENT, (), 0.0, PEPPER)
    rows.add(key)

    async def scenario() -> None:
        clocks = Clocks()
        keyring = keyring_of(rows, clocks)
        assert await keyring.by_key(text) == caller_of(key)
        rows.revoke(key.id, clocks.day)  # as another process does
        clocks.day, clocks.since = 10.0, FRESH_SECONDS - 0.01
        assert await keyring.by_key(text) == caller_of(key), "still from memory"
        clocks.since = FRESH_SECONDS
        with pytest.raises(Unauthorized, match="is not valid"):
            await keyring.by_key(text)
        await keyring.close()

    asyncio.run(scenario())


def test_a_clock_that_is_set_back_keeps_no_ticket_valid(rows: KeyRows) -> None:
    key, _ = new_key("first", Role.SEGMENT, (), 0.0, PEPPER)
    rows.add(key)

    async def scenario() -> None:
        clocks = Clocks()
        keyring = keyring_of(rows, clocks)
        tickets = [keyring.ticket(caller_of(key)) for _ in range(2)]
        clocks.day, clocks.since = 10.0, TICKET_SECONDS - 0.01
        assert await keyring.by_ticket(tickets[0]) == caller_of(key)
        clocks.since = TICKET_SECONDS
        with pytest.raises(Unauthorized, match="older than 30 s"):
            await keyring.by_ticket(tickets[1])
        await keyring.close()

    asyncio.run(scenario())
