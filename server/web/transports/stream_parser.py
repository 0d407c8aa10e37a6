"""websockets' parser, limited to a bounded number of frames at a time.

One read of a socket may bring 43,000 frames of 6 bytes. Parsing all of them at once would stall
every other stream.
"""

from __future__ import annotations

from collections.abc import Generator

from websockets.frames import Frame
from websockets.protocol import Event
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from protocol import CloseCode
from server.web.transports.allowance import small_cost

FRAMES_A_TURN = 32
"""Frames per turn; they take about a quarter of a millisecond."""

_WORDS = {
    1002: "bad_message",
    1007: "bad_message",
    1009: "too_large",
    1012: "going_away",
    CloseCode.OVER_QUOTA: "quota",
}
_REASON_BYTES = 123


class StreamParser(ServerProtocol):
    """The parser of one connection; the reason of each close begins with its stable code word.

    Mutable state in addition to websockets' own: the cost of the frames taken out so far.
    """

    def __init__(self, max_size: int, logger: object) -> None:
        super().__init__(max_size=max_size, logger=logger)  # type: ignore[arg-type]
        self._paced = _PacedReader()
        self._cost = 0.0
        # The base class has started its parser on its own reader; this one replaces it.
        self.reader = self._paced
        self.parser = self.parse()
        next(self.parser)

    @property
    def has_more(self) -> bool:
        """Return whether bytes wait for the next turn."""
        return self._paced.held_back

    def begin_turn(self) -> None:
        """Allow as many frames as one turn of the event loop may take."""
        self._paced.frames_left = FRAMES_A_TURN

    def take_cost(self) -> float:
        """Return the cost of the frames since the last call; see :func:`small_cost`."""
        cost, self._cost = self._cost, 0.0
        return cost

    def events_received(self) -> list[Event]:
        events = super().events_received()
        self._cost += sum(
            small_cost(len(event.data)) for event in events if isinstance(event, Frame)
        )
        return events

    def fail(self, code: int, reason: str = "") -> None:
        word = _WORDS.get(code, "fault")
        super().fail(code, f"{word}: {reason}"[:_REASON_BYTES])

    def send_close(self, code: int | None = None, reason: str = "") -> None:
        super().send_close(code, reason or _WORDS.get(code or 0, ""))


class _PacedReader(StreamReader):
    """Holds back its bytes once a turn's frames are taken; the parser calls at_eof before each."""

    def __init__(self) -> None:
        super().__init__()
        self.frames_left = FRAMES_A_TURN

    @property
    def held_back(self) -> bool:
        return self.frames_left == 0 and len(self.buffer) > 0

    def at_eof(self) -> Generator[None, None, bool]:
        ended = yield from super().at_eof()
        while self.held_back:
            yield
        self.frames_left -= 1
        return ended
