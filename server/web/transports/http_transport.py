"""uvicorn's HTTP connection, with limits on the size of a request and the time it may take.

It adds to uvicorn:

- A URL above ``MAX_LINE_BYTES`` is answered with 414; a header above it, more than ``MAX_HEADERS``
  or a head above ``MAX_HEAD_BYTES`` with 431. WebSocket handshakes pass through here, too.
- A connection that does not finish a request's head in ``HEAD_SECONDS``, or whose body stalls for
  ``BODY_SECONDS``, is closed: with 408, or silently if there is no request to answer.
- Pipelined requests are parsed a few at a time, once those before are answered; more than
  ``REQUESTS_A_SECOND`` from one connection have to wait.
- While the event loop is late, the bodies of those who cause the most work are read more slowly,
  also those that are discarded since the request is answered already.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from server.errors import BadMessage, HeadTooLarge, MastreamError
from server.web.transports.allowance import REQUESTS_A_SECOND, REQUESTS_AT_ONCE, Allowance
from server.web.transports.body_pace import BodyPace
from server.web.transports.breaking_off import let_break_off
from server.web.transports.flow import Flow
from server.web.transports.refusal import refusal
from server.web.transports.request_limits import (
    BODY_SECONDS,
    HEAD_SECONDS,
    Awaiting,
    RequestClock,
    check_head,
    check_headers,
    check_url,
)

LINGER_SECONDS = 2.0
"""How long a refused client has to read the response."""

_HEAD_SLICE = 256
_BODY_SLICE = 4096
"""Bytes parsed per turn; the shortest request has 18."""

_BODIES = (Awaiting.BODY, Awaiting.REST)


class HttpTransport(HttpToolsProtocol):
    """One HTTP connection of the server, until a handshake makes it a WebSocket.

    Mutable state in addition to uvicorn's: the clock and its timer, the bytes of the head so far,
    the bytes that wait to be parsed and the turn that will continue with them, the allowance of
    requests, the pace of bodies, why the request is refused, and whether further bytes are
    discarded.
    """

    head_seconds: float = HEAD_SECONDS
    body_seconds: float = BODY_SECONDS

    def __init__(
        self, *args: Any, make_pace: Callable[[], BodyPace] = BodyPace, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        now = self.loop.time()
        self._clock = RequestClock(self.head_seconds, self.body_seconds, now + self.head_seconds)
        self._timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._unparsed = bytearray()
        self._turn: asyncio.Handle | None = None
        self._allowance = Allowance(REQUESTS_A_SECOND, REQUESTS_AT_ONCE, now)
        self._pace = make_pace()
        self._refused: MastreamError | None = None
        self._discarding = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = Flow(transport, self._is_behind)
        self._set_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._discarding:
            self._unparsed += data
            self._parse()

    def handle_websocket_upgrade(self) -> None:
        self._stop()
        super().handle_websocket_upgrade()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        self._refuse(self._refused or BadMessage("The bytes are not an HTTP request: send HTTP."))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._clock.begun()
        self._head_bytes = 0
        self._allowance.spend(1, self.loop.time())

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._check(check_url, self.url)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._check(check_headers, self.headers)

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        let_break_off(self.scope["state"], self.cycle)
        self._clock.head_came(self.loop.time())
        self._set_timer()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        now = self.loop.time()
        self._clock.body_came(len(body), now)
        self._pace.came(len(body), self.scope, now)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._clock.request_came(self.loop.time())
        self._set_timer()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._is_ours():
            return
        now = self.loop.time()
        if self.cycle.response_complete:
            self._clock.answered(now)
            self._set_timer()
        if self._turn is None:
            # In a separate turn, so that others are served between two requests of one client.
            self._turn = self.loop.call_later(self._allowance.spend(0, now), self._take_turn)

    def _take_turn(self) -> None:
        self._turn = None
        self._parse()
        if not self._is_full():
            self.flow.resume_reading()

    def _parse(self) -> None:
        """Parse the bytes received, up to the first request that must wait."""
        while self._unparsed and not self._must_wait() and self._is_ours():
            size = _BODY_SLICE if self._clock.awaiting in _BODIES else _HEAD_SLICE
            data = bytes(self._unparsed[:size])
            del self._unparsed[:size]
            super().data_received(data)
            self._count_head(len(data))
            self._let_others_go_first()
        if self._is_behind() and self._is_ours():
            self.flow.pause_reading()

    def _let_others_go_first(self) -> None:
        """Parse no more of a body for as long as its sender has to wait."""
        if self._turn is None and self._clock.awaiting in _BODIES and self._is_ours():
            pause = self._pace.pause(self.loop.time())
            if pause > 0:
                self._turn = self.loop.call_later(pause, self._take_turn)

    def _must_wait(self) -> bool:
        """Return whether the next bytes may not be parsed yet: their turn has not come, or they are
        those of a request while the one before is being answered."""
        if self._turn is not None:
            return True
        if self._clock.awaiting in _BODIES and not self.pipeline:
            return False
        is_answering = self.cycle is not None and not self.cycle.response_complete
        return is_answering or bool(self.pipeline)

    def _is_full(self) -> bool:
        """Return whether the application has to take a body before more of it is read."""
        cycle = self.cycle
        is_taken = cycle is None or cycle.response_complete
        return not is_taken and len(cycle.body) > HIGH_WATER_LIMIT

    def _is_behind(self) -> bool:
        return bool(self._unparsed or self.pipeline or self._turn)

    def _is_ours(self) -> bool:
        """Return whether this protocol still reads the connection."""
        left = self._discarding or self.transport.is_closing() or self.parser is None
        return not left and self.transport.get_protocol() is self

    def _count_head(self, size: int) -> None:
        """Count the bytes of a head that may never end."""
        if self._clock.awaiting is Awaiting.HEAD and self._is_ours():
            self._head_bytes += size
            try:
                check_head(self._head_bytes)
            except HeadTooLarge as error:
                self._refuse(error)

    def _check(self, check: Callable[[Any], None], value: object) -> None:
        """Stop the parser if the check fails; it then calls :meth:`send_400_response`."""
        try:
            check(value)
        except MastreamError as error:
            self._refused = error
            raise

    def _set_timer(self) -> None:
        deadline = self._clock.deadline
        if self._timer is None and deadline is not None:
            self._timer = self.loop.call_at(deadline, self._check_deadline)

    def _check_deadline(self) -> None:
        """Check the deadline, which may have moved since the timer was set."""
        self._timer = None
        if not self._is_ours():
            return
        now = self.loop.time()
        if self.flow.read_paused:
            self._clock.not_read(now)
        if self._clock.deadline is None or now < self._clock.deadline:
            self._set_timer()
        elif verdict := self._clock.verdict():
            self._refuse(verdict)
        else:
            self.transport.close()

    def _refuse(self, error: MastreamError) -> None:
        """Respond with the error, unless another response has begun, and end the connection."""
        self._discarding = True
        self._stop()
        if self._interrupt():
            self.transport.close()
            return
        self.transport.write(refusal(error))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        # Read and discard further bytes: a close would make the kernel send a reset that overtakes
        # the response.
        self.transport.resume_reading()
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.abort)

    def _interrupt(self) -> bool:
        """Notify the application that its client has left.

        Return whether it is in the middle of a response, to this request or an earlier one.
        """
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            return False
        cycle.disconnected = True
        cycle.message_event.set()
        return cycle.response_started or self._clock.awaiting is not Awaiting.BODY

    def _stop(self) -> None:
        for timer in (self._timer, self._turn):
            if timer:
                timer.cancel()
        self._timer = self._turn = None
        self._unparsed.clear()
