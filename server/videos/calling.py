"""Calling the receivers that want to know that a video has ended, until they answer."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import httpx

from server.database.callbacks import Callback, CallbackRows
from server.dialling.dial import Guard
from server.errors import NotFound, SourceFault
from server.security.addresses import IPAddress, host_and_port
from server.threads import ThreadRunner
from server.videos.callbacks import GIVE_UP_SECONDS, delay, signed_headers
from server.videos.progress import Video

POLL_SECONDS = 1.0
AT_ONCE = 8
CALL_SECONDS = 10.0

_TURN_SECONDS = 3 * CALL_SECONDS
"""For how many seconds no other server makes a call that one server has begun."""

_GONE = 410
"""The status with which a receiver asks not to be called again."""

_log = logging.getLogger(__name__)

Post = Callable[[str, bytes, Mapping[str, str]], Awaitable[int]]
"""Sends a body with headers to an address and returns the status of the answer."""


async def post(url: str, body: bytes, headers: Mapping[str, str], guard: Guard) -> int:
    """Send a POST and return the status; redirects are not followed, and the answer is not read.

    The host is resolved once, and the connection is made to an address that ``guard`` allows.
    Raises an httpx.HTTPError, SourceForbidden, SourceUnreachable, or TimeoutError after
    ``CALL_SECONDS``.
    """
    host, _ = host_and_port(url)
    async with (
        asyncio.timeout(CALL_SECONDS),
        httpx.AsyncClient(trust_env=False, follow_redirects=False) as client,
    ):
        *others, last = await asyncio.to_thread(guard.addresses, host)
        asked = client.build_request("POST", url, content=body, headers=dict(headers))
        # The certificate must be that of the name, which the header Host also names.
        asked.extensions["sni_hostname"] = host
        for address in others:
            with suppress(httpx.ConnectError):
                return await _status_at(address, asked, client)
        return await _status_at(last, asked, client)


async def _status_at(address: IPAddress, asked: httpx.Request, client: httpx.AsyncClient) -> int:
    asked.url = asked.url.copy_with(host=str(address))
    answer = await client.send(asked, stream=True)
    await answer.aclose()
    return answer.status_code


class Caller:
    """Calls the callbacks that are due, at most ``AT_ONCE`` at a time, each at least once.

    ``find`` returns a video by its id, ``render`` returns its JSON, and ``secret`` signs it. All
    state is in the rows, so nothing is lost with the process.
    """

    def __init__(
        self,
        rows: CallbackRows,
        disk: ThreadRunner,
        find: Callable[[str], Awaitable[Video]],
        render: Callable[[Video], bytes],
        secret: str,
        clock: Callable[[], float],
        send: Post,
    ) -> None:
        self._rows = rows
        self._disk = disk
        self._find = find
        self._render = render
        self._secret = secret
        self._clock = clock
        self._send = send

    async def run(self) -> None:
        """Look for calls that are due every ``POLL_SECONDS``, until cancelled."""
        while True:
            try:
                await self.call_due()
            except Exception:
                _log.exception("callbacks cannot be called; trying again")
            await asyncio.sleep(POLL_SECONDS)

    async def call_due(self) -> None:
        """Make all due calls once; those that fail are postponed."""
        await self._disk(self._rows.remove_orphans)
        due = await self._disk(self._rows.due, self._clock(), AT_ONCE)
        await asyncio.gather(*(self._call(callback) for callback in due))

    async def _call(self, callback: Callback) -> None:
        try:
            video = await self._find(callback.video)
        except NotFound:  # removed meanwhile
            return
        if not await self._disk(self._rows.take, callback, self._clock() + _TURN_SECONDS):
            return
        status = await self._status(callback, video)
        if status is not None and (200 <= status < 300 or status == _GONE):
            await self._disk(self._rows.remove, callback.video)
        else:
            await self._postpone(callback, video, status)

    async def _status(self, callback: Callback, video: Video) -> int | None:
        """Return the status of the answer; None if there was none."""
        try:
            body = self._render(video)
            headers = signed_headers(self._secret, callback.video, self._clock(), body)
            headers["Content-Type"] = "application/json"
            return await self._send(callback.url, body, headers)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError, SourceFault) as error:
            _log.info("the callback of %s failed: %r", callback.video, error)
        except Exception:  # the calls of other videos must not wait for this one
            _log.exception("the callback of %s failed", callback.video)
        return None

    async def _postpone(self, callback: Callback, video: Video, status: int | None) -> None:
        now, ended = self._clock(), video.record.ended
        if ended is not None and now - ended > GIVE_UP_SECONDS:
            _log.warning("the callback of %s is given up: last status %s", callback.video, status)
            await self._disk(self._rows.remove, callback.video)
        else:
            next_try = now + delay(callback.attempts + 1, random.random())
            await self._disk(self._rows.postpone, callback, next_try)
