"""The regular removal of expired objects."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

CLEAN_SECONDS = 10.0

_log = logging.getLogger(__name__)


async def clean(*chores: Callable[[], Awaitable[None]]) -> None:
    """Do each of the chores every ``CLEAN_SECONDS``, until cancelled; one that fails is logged and
    tried again the next time."""
    while True:
        await asyncio.sleep(CLEAN_SECONDS)
        for chore in chores:
            try:
                await chore()
            except Exception:
                _log.exception("expired objects cannot be removed")
