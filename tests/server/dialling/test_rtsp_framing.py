"""The bytes of an RTSP server are divided as FFmpeg divides them, and a redirect never passes."""

from __future__ import annotations

import random

import pytest

from server.dialling.rtsp_framing import MAX_HEAD, RtspFraming
from server.errors import MastreamError, SourceFault, SourceForbidden

DESCRIBED = b"RTSP/1.0 200 OK\r\nCSeq: 2\r\nContent-Length: 5\r\n\r\nv=0\r\n"
PACKET = b"$\x00\x00\x0cRTSP/1.0 302"
ASKED = b"OPTIONS * RTSP/1.0\nCSeq: 1\n\n"
FILM = DESCRIBED + PACKET + b"\r\n" + ASKED + b"RTSP/1.0 401 No\r\n\r\n" + PACKET * 3


def test_what_is_complete_passes_in_pieces_of_any_size() -> None:
    chance = random.Random(1)
    for _ in range(50):
        framing, passed, begin = RtspFraming(), b"", 0
        while begin < len(FILM):
            end = begin + chance.randint(1, 40)
            passed += framing.feed(FILM[begin:end])
            begin = end
        assert passed == FILM


def test_a_message_waits_for_its_end() -> None:
    framing = RtspFraming()
    assert framing.feed(DESCRIBED[:-1]) == b""
    assert framing.feed(DESCRIBED[-1:] + PACKET[:3]) == DESCRIBED
    assert framing.feed(PACKET[3:]) == PACKET


def test_a_packet_that_is_too_short_for_one_is_left_out() -> None:
    assert RtspFraming().feed(b"$\x00\x00\x07RTSP/1." + PACKET) == PACKET


@pytest.mark.parametrize("status", [b"300", b"301", b"302", b"305", b"399"])
def test_a_redirect_does_not_pass(status: bytes) -> None:
    redirect = b"RTSP/1.0 " + status + b" Moved\r\nLocation: rtsp://127.0.0.1/\r\n\r\n"
    for sent in (redirect, DESCRIBED + redirect, PACKET + redirect, b"\r\n" + redirect):
        with pytest.raises(SourceForbidden, match="redirects"):
            RtspFraming().feed(sent)


@pytest.mark.parametrize(
    "sent",
    [
        b"HTTP/1.0 302 Found\r\n\r\n", b" RTSP/1.0 302 Found\r\n\r\n", b"RTSP/1.0  302 x\r\n\r\n",
        b"RTSP/1.0 3\r02 Found\r\n\r\n", b"RTSP/1.0\t302 Found\r\n\r\n", b"RTSP/9 302 x\r\n\r\n",
        b"RTSP/1.0 3020 Found\r\n\r\n", b"RTSP/1.0 200 OK\r\nA: \x00b\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n$\x00\x00\x00\r\n\r\n", b"RTSP/1.0 200 OK\r\nno header\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 0x10\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 9999999\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length : 5\r\n\r\n",
        b"RTSP/1.0 200 OK\r\n " + b"x" * MAX_HEAD,
    ],
)  # fmt: skip
def test_what_ffmpeg_might_read_differently_does_not_pass(sent: bytes) -> None:
    with pytest.raises(SourceFault) as caught:
        RtspFraming().feed(sent)
    assert not isinstance(caught.value, SourceForbidden)


def test_noise_never_fails_otherwise() -> None:
    chance = random.Random(2)
    for _ in range(300):
        noise = bytearray(FILM)
        for _ in range(chance.randint(1, 6)):
            noise[chance.randrange(len(noise))] = chance.choice(b"\r\n$ \x00R3:0")
        try:
            passed = RtspFraming().feed(bytes(noise))
        except MastreamError as error:
            assert str(error).endswith(".")
        else:
            assert len(passed) <= len(noise)
