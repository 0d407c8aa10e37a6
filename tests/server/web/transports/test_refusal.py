from __future__ import annotations

import json

from server.errors import HeadTooLarge
from server.web.transports.refusal import refusal


def test_an_error_becomes_a_whole_response() -> None:
    head, _, body = refusal(HeadTooLarge("Shorten it.")).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"HTTP/1.1 431 Request Header Fields Too Large"
    assert b"content-type: application/problem+json" in lines
    assert b"content-length: %d" % len(body) in lines
    assert b"connection: close" in lines
    assert json.loads(body) == HeadTooLarge("Shorten it.").problem()
