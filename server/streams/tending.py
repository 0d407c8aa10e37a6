"""Helpers for the tasks that run next to pulled streams: they repeat, are reliably cancelled, and
log their failures."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from server.errors import MastreamError, Unavailable

CANCEL_SECONDS = 15.0
"""Seconds after which a supervisor is cancelled again; closing a source and a publisher takes
less."""

_log = logging.getLogger(__name__)


async def repeat(act: Callable[[], Awaitable[None]], seconds: float) -> None:
    """Call ``act`` every ``seconds``, even after failures. Log when it starts to fail; the database
    logs by itself if it does not answer."""
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
                _log.error("the pulled streams cannot be maintained: %s", error, exc_info=trace)
            fails = True


async def cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait for its end. Cancel it again after a while, in case a library
    swallowed the first cancellation: otherwise nothing could be changed any more."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=CANCEL_SECONDS)


def report_failure(task: asyncio.Task[None]) -> None:
    """Log the error that ended a supervisor, which is a bug: it should run until cancelled."""
    if not task.cancelled() and (error := task.exception()):
        _log.critical("%s broke", task.get_name(), exc_info=error)
