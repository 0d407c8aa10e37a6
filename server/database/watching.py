"""Watches whether the database answers, also while no request needs it."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from server.database.connection import Database
from server.errors import Fault

WATCH_SECONDS = 2.0


async def watch(database: Database, seconds: float = WATCH_SECONDS) -> None:
    """Ask the database every ``seconds``, until cancelled; ``database.answers`` says what came."""
    while True:
        await asyncio.sleep(seconds)
        with suppress(Fault):
            await asyncio.to_thread(database.check)
