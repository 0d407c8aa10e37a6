"""uvicorn's WebSocket, with a close that always arrives or always ends.

Three things are added to what uvicorn does. A close is not held up behind a client that does not
read: the frame is written at once and the connection is cut ``close_timeout`` seconds later. And
bytes that break the WebSocket protocol itself (a message above ``ws_max_size`` above all) are
answered by a close frame and a half-close, after which the rest is read and thrown away: closing
at once would make the kernel send a reset that overtakes the close frame. And pings of a client
that does not read wait for it, the newest in place of the others.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.server import ServerProtocol

_WORDS = {1002: "bad_message", 1007: "bad_message", 1009: "too_large", 1012: "going_away"}
_REASON_BYTES = 123


class _Parser(ServerProtocol):
    """websockets' parser; its reasons, and uvicorn's, begin with our stable code word."""

    def fail(self, code: int, reason: str = "") -> None:
        word = _WORDS.get(code, "fault")
        super().fail(code, f"{word}: {reason}"[:_REASON_BYTES])

    def send_close(self, code: int | None = None, reason: str = "") -> None:
        super().send_close(code, reason or _WORDS.get(code or 0, ""))


class StreamTransport(WebSocketsSansIOProtocol):
    """One WebSocket connection of the server, permessage-deflate always off."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn = _Parser(max_size=self.config.ws_max_size, logger=self.logger)
        self._discarding = False
        self._pong = b""
        self._cut: asyncio.TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._cut:
            self._cut.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if not self._discarding:
            super().data_received(data)

    def handle_ping(self) -> None:
        pong = b"".join(self.conn.data_to_send())
        if self.close_sent:
            return
        if self.writable.is_set():
            self.transport.write(pong)
        else:
            # RFC 6455, 5.5.3: the newest answers those before it as well.
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
            self.conn.fail(1007, "a text message is not UTF-8")
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

    def handle_parser_exception(self) -> None:
        assert self.conn.close_sent is not None, "the parser failed without saying so"
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
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
