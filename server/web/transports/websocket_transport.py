"""uvicorn's WebSocket connection, with reliable closing and with limits that keep one client from
starving the others.

It adds to uvicorn:

- A close does not wait for a client that does not read: the frame is written at once and the
  connection is aborted ``close_timeout`` seconds later.
- Bytes that break the WebSocket protocol itself (mostly a message above ``ws_max_size``) are
  answered with a close frame and a half-close, after which the rest is read and discarded: closing
  at once would make the kernel send a reset that overtakes the close frame.
- While a client does not read, only the newest of its pings is kept to be answered.
- The frames of one read are parsed in turns, between which the event loop serves others; no further
  turn is taken while messages wait for the application.
- A connection that sends more than its allowance of small frames is closed.
- A handshake that the parser refuses gets a response.
- A connection that is lost without a close frame is reported as 1006.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from protocol import CloseCode
from server.errors import BadMessage
from server.web.transports.allowance import FRAMES_A_SECOND, FREE_BYTES, Allowance
from server.web.transports.refusal import refusal
from server.web.transports.stream_parser import StreamParser

_LOST = 1006
"""The close code of a connection that was lost without a close frame (RFC 6455, 7.1.5)."""


class StreamTransport(WebSocketsSansIOProtocol):
    """One WebSocket connection of the server, without permessage-deflate.

    Mutable state in addition to uvicorn's: the allowance, whether bytes are held back and the turn
    that will continue with them, whether further bytes are discarded, the newest pong that could
    not be written, and the timer that aborts the connection.
    """

    frames_a_second: float = FRAMES_A_SECOND

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn: StreamParser = StreamParser(self.config.ws_max_size, self.logger)
        rate = self.frames_a_second
        self._allowance = Allowance(rate, rate, self.loop.time())
        self._holding = False
        self._turn: asyncio.Handle | None = None
        self._discarding = False
        self._pong = b""
        self._cut: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._cut, self._turn):
            if timer:
                timer.cancel()
        if self.handshake_complete and not self.conn.close_rcvd and not self.close_sent:
            # uvicorn reports 1005, as for a client that closes without a code.
            self.queue.put_nowait({"type": "websocket.disconnect", "code": _LOST})
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            return
        self.conn.begin_turn()
        super().data_received(data)
        if self._discarding or self.transport.is_closing():
            return
        if self.conn.handshake_exc and not self.handshake_initiated:
            self._refuse_handshake()
        elif self._allowance.spend(self.conn.take_cost(), self.loop.time()):
            self._refuse_flood()
        else:
            self._continue()

    async def receive(self) -> Any:
        message = await super().receive()
        self._continue()
        return message

    def handle_ping(self) -> None:
        pong = b"".join(self.conn.data_to_send())
        if self.close_sent:
            return
        if self.writable.is_set():
            self.transport.write(pong)
        else:
            # RFC 6455, 5.5.3: the newest pong answers the earlier pings as well.
            self._pong = pong or self._pong

    def resume_writing(self) -> None:
        super().resume_writing()
        pong, self._pong = self._pong, b""
        if pong and not self.close_sent:
            self.transport.write(pong)

    def send_receive_event_to_app(self) -> None:
        is_text = self.curr_msg_data_type == "text" and not self.close_sent
        if is_text and not _is_utf8(b"".join(self.frames)):
            self.frames = []
            self.conn.fail(1007, "A text message is not UTF-8.")
            self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()

    async def send(self, message: Any) -> None:
        if self._discarding:
            raise ClientDisconnected
        if message["type"] == "websocket.close" and self.handshake_complete:
            self.writable.set()
            self._cut = self._cut_later()
        await super().send(message)
        if self.close_sent:
            self._continue()

    def handle_parser_exception(self) -> None:
        if self.conn.close_sent is None:
            # The frames came before the handshake was answered, so no close frame can be sent.
            self.transport.abort()
            return
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._end_with(b"".join(self.conn.data_to_send()))

    def _continue(self) -> None:
        """Schedule the next turn if bytes are held back, otherwise resume reading. Idempotent."""
        if self.read_paused or self._turn or self._discarding or self.transport.is_closing():
            return
        if self.conn.has_more:
            self._holding = True
            self.transport.pause_reading()
            self._turn = self.loop.call_soon(self._take_turn)
        elif self._holding:
            self._holding = False
            self.transport.resume_reading()

    def _take_turn(self) -> None:
        self._turn = None
        self.data_received(b"")

    def _refuse_flood(self) -> None:
        if self.close_sent:
            self._discarding = True
        else:
            words = f"More than {self.frames_a_second:g} frames per second below {FREE_BYTES} bytes"
            self.conn.fail(CloseCode.OVER_QUOTA, f"{words}: send fewer.")
            self.handle_parser_exception()

    def _refuse_handshake(self) -> None:
        response = b"".join(self.conn.data_to_send())
        self.handshake_complete = True
        error = BadMessage("The bytes are not a WebSocket handshake: see RFC 6455.")
        self._end_with(response or refusal(error))

    def _end_with(self, last: bytes) -> None:
        """Write the last bytes and half-close; discard all further bytes."""
        self.transport.write(last)
        self.close_sent = self._discarding = True
        self._cut = self.close_timer = self._cut_later()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.transport.resume_reading()

    def _cut_later(self) -> asyncio.TimerHandle:
        return self.loop.call_later(self.close_timeout, self.transport.abort)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
