"""FFmpeg's request to the proxy becomes a request to the checked host."""

from __future__ import annotations

import pytest

from server.dialling.proxied_request import read_request
from server.errors import BadRequest


def test_a_request_is_passed_on_to_the_host_that_its_address_names() -> None:
    request = read_request(
        b"GET http://user:pass@Cam.example:8080/a/b?c=d#e HTTP/1.1\r\nHost: other.example\r\n"
        b"Proxy-Authorization: x\r\nConnection: keep-alive\r\nRange: bytes=0-\r\n\r\n"
    )
    assert (request.host, request.port, request.is_tunnel) == ("cam.example", 8080, False)
    assert request.head == (
        b"GET /a/b?c=d HTTP/1.1\r\nHost: Cam.example:8080\r\nConnection: close\r\n"
        b"Range: bytes=0-\r\n\r\n"
    )
    assert b"GET /?x HTTP/1.1" in read_request(b"GET http://h?x HTTP/1.1\r\n\r\n").head


def test_a_tunnel_sends_nothing_of_its_own() -> None:
    request = read_request(b"CONNECT cam.example:8443 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (request.host, request.port, request.is_tunnel) == ("cam.example", 8443, True)
    assert read_request(b"CONNECT [::1]:443 HTTP/1.0\r\n\r\n").host == "::1"


@pytest.mark.parametrize(
    "head",
    [b"GET / HTTP/1.1\r\n\r\n", b"GET ftp://h/ HTTP/1.1\r\n\r\n", b"\r\n\r\n", b"GET\r\n\r\n",
     b"CONNECT a@b@c:1 HTTP/1.1\r\n\r\n", b"GET http://h:x/ HTTP/1.1\r\n\r\n",
     b"\xff \xff\r\n\r\n"],
)  # fmt: skip
def test_anything_else_is_refused(head: bytes) -> None:
    with pytest.raises(BadRequest):
        read_request(head)
