"""The keyring: for how long a key that was read counts as valid."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from server.database.connection import open_database
from server.database.keys import KeyRows
from server.errors import Unauthorized
from server.security.keys import Role, new_key
from server.settings import Settings
from server.web.access.keyring import FRESH_SECONDS, Keyring

PEPPER = b"0123456789abcdef"


def test_a_clock_that_is_set_back_keeps_no_revoked_key_valid(tmp_path: Path) -> None:
    asyncio.run(revoke_by_another_process(tmp_path))


async def revoke_by_another_process(folder: Path) -> None:
    database = open_database(Settings(folder=folder))
    rows = KeyRows(database)
    key, text = new_key("first", Role.SEGMENT, (), 0.0, PEPPER)
    rows.add(key)
    day, since = 100_000.0, 0.0
    keyring = Keyring(PEPPER, 60.0, clock=lambda: day, since=lambda: since)
    keyring.use(rows)
    try:
        assert (await keyring.by_key(text)).id == key.id
        rows.revoke(key.id, day)
        day, since = 10.0, FRESH_SECONDS - 0.01
        assert (await keyring.by_key(text)).id == key.id, "still from memory"
        since = FRESH_SECONDS
        with pytest.raises(Unauthorized, match="is not valid"):
            await keyring.by_key(text)
    finally:
        await keyring.close()
        database.close()
