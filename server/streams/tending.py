"""The tasks that run next to pulled streams: repeated, cancelled for certain, never silent."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from server.errors import MastreamError, Unavailable

CANCEL_SECONDS = 15.0
"""Longer than closing a source and a publisher takes; then a supervisor is cancelled again."""

_log = logging.getLogger(__name__)


async def repeat(act: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Act every ``seconds``, whatever fails. Log when it begins to fail; the database logs by
    itself if it does not answer."""
    fails = False
    while True:
        await asyncio.sleep(seconds)
        try:
            await act()
            fails = False
        except Unavailable:
            fails = True
        except Exception as error:
            if not fails:
                trace = None if isinstance(error, MastreamError) else error
                _log.error("the pulled streams cannot be kept up: %s", error, exc_info=trace)
            fails = True


async def cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end; again after a while, should the first cancellation be
    lost to a library that swallows it, or nothing could be changed any more."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_SECONDS)


def report_failure(task: asyncio.Task[None]) -> None:
    """Log the error that ended a supervisor, which is a bug: it should run until cancelled."""
    if not task.cancelled() and (error := task.exception()):
        _log.critical("%s broke", task.get_name(), exc_info=error)
