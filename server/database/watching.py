"""Watches whether the database answers, even while no request needs it."""

from __future__ import annotations

import asyncio
import logging

from server.database.connection import Database
from server.errors import Fault

WATCH_SECONDS = 2.0

_log = logging.getLogger(__name__)


async def watch(database: Database, seconds: float = WATCH_SECONDS) -> None:
    """Check the database every ``seconds``, until cancelled; the result is ``database.answers``."""
    while True:
        await asyncio.sleep(seconds)
        try:
            await asyncio.to_thread(database.check)
        except Fault:
            continue
        except Exception:
            _log.exception("whether the database answers is unknown")
