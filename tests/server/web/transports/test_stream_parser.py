"""A bounded number of frames at a time, on literal bytes."""

from __future__ import annotations

import logging

import pytest
from websockets.frames import Frame, Opcode

from server.web.transports.stream_parser import FRAMES_A_TURN, StreamParser

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
PING = b"\x89\x80\0\0\0\0"
CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"


def opened() -> StreamParser:
    parser = StreamParser(1000, logging.getLogger("test"))
    parser.receive_data(HANDSHAKE)
    (request,) = parser.events_received()
    parser.send_response(parser.accept(request))  # type: ignore[arg-type]
    parser.data_to_send()
    return parser


def turn(parser: StreamParser, data: bytes = b"") -> list[Opcode]:
    parser.begin_turn()
    parser.receive_data(data)
    return [event.opcode for event in parser.events_received() if isinstance(event, Frame)]


def test_what_is_beyond_a_turn_waits_for_the_next() -> None:
    parser = opened()
    assert turn(parser, PING * (2 * FRAMES_A_TURN + 1)) == [Opcode.PING] * FRAMES_A_TURN
    assert parser.has_more
    assert turn(parser) == [Opcode.PING] * FRAMES_A_TURN
    assert turn(parser) == [Opcode.PING] and not parser.has_more


def test_a_frame_in_pieces_is_one() -> None:
    parser = opened()
    assert [turn(parser, bytes((byte,))) for byte in PING] == [[]] * 5 + [[Opcode.PING]]
    assert parser.take_cost() == 1


def test_the_cost_is_of_what_was_taken_since() -> None:
    parser = opened()
    turn(parser, PING * 3 + b"\x82\xfe\x02\x00" + bytes(4 + 512))
    assert parser.take_cost() == 3.5
    assert parser.take_cost() == 0


@pytest.mark.parametrize("before", [0, FRAMES_A_TURN - 1, FRAMES_A_TURN])
def test_nothing_is_taken_after_a_close(before: int) -> None:
    parser = opened()
    taken = turn(parser, PING * before + CLOSE + PING * 100)
    while parser.has_more:
        taken += turn(parser)
    assert taken == [Opcode.PING] * before + [Opcode.CLOSE]


def test_reasons_begin_with_the_stable_word_and_fit_a_close_frame() -> None:
    parser = opened()
    parser.fail(4429, "x" * 200)
    assert parser.close_sent and parser.close_sent.reason.startswith("quota: xxx")
    assert len(parser.close_sent.reason) == 123
