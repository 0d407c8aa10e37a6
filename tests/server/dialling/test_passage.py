"""FFmpeg itself with real servers: no forbidden address is opened, however it is reached.

127.0.0.2 stands for the public network, 127.0.0.1 for the server's own.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit

import pytest
from cameras import Camera
from http_cameras import http_camera

from server.dialling.dial import Guard
from server.dialling.passage import Passage, passage
from server.dialling.relay import RtspRelay
from server.errors import SourceFault, SourceForbidden, SourceUnauthorized, SourceUnreachable
from server.frame import Frame
from server.security.addresses import IPAddress, address_rules
from server.sources.decoding import Reading, read_frames

OUTSIDE = Guard(address_rules(("127.0.0.2/32",), (), is_local=False))
HOME = Guard(address_rules(None, (), is_local=True))
EVERYWHERE = Guard(address_rules(("127.0.0.0/8",), (), is_local=False))


def first_frame(url: str, guard: Guard | None) -> Frame:
    frames = read_frames(Reading(url, 48, 64, False, None, 10**7, 10.0, 1, guard=guard))
    try:
        return next(frames)
    finally:
        frames.close()


def naming(*addresses: str) -> Callable[[str], list[IPAddress]]:
    """Resolve any name to these addresses, one after the other."""
    left = iter(addresses)
    return lambda _: [ipaddress.ip_address(next(left))]


@contextmanager
def outside(answer: bytes) -> Iterator[str]:
    """Serve this answer, to any request, on 127.0.0.2; yield host and port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.2", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.2:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def trap() -> Iterator[tuple[int, list[bool]]]:
    """Listen on 127.0.0.1; yield the port, and a list that is not empty after a connection."""
    came: list[bool] = []

    def accept() -> None:
        try:
            listener.accept()[0].close()
            came.append(True)
        except OSError:
            pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield listener.getsockname()[1], came
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def test_cameras_over_http_are_read_through_the_proxy() -> None:
    with http_camera(fps=25) as base:
        for path in ("/mjpeg", "/flv", "/ts"):
            assert first_frame(base + path, EVERYWHERE).size == (240, 320)
        port = base.rpartition(":")[2]
        named = Guard(EVERYWHERE.rules, lambda _: [ipaddress.ip_address("127.0.0.1")])
        assert first_frame(f"http://cam.example:{port}/ts", named).size == (240, 320)


def test_a_password_reaches_the_camera_only() -> None:
    with http_camera(password="user:secret") as base:
        host = base.removeprefix("http://")
        assert first_frame(f"http://user:secret@{host}/mjpeg", EVERYWHERE).size == (240, 320)
        with pytest.raises(SourceUnauthorized):
            first_frame(f"http://user:wrong@{host}/mjpeg", EVERYWHERE)


@pytest.mark.parametrize("scheme", ["http", "https", "rtsp", "rtsps"])
def test_an_address_inside_is_refused(scheme: str) -> None:
    with trap() as (port, came):
        for host in ("127.0.0.1", "127.1", "2130706433", "localhost", "[::ffff:127.0.0.1]"):
            with pytest.raises(SourceForbidden, match="may not open"):
                first_frame(f"{scheme}://{host}:{port}/x", OUTSIDE)
        assert not came


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_name_that_changes_its_address_is_refused(scheme: str) -> None:
    with trap() as (port, came):
        guard = Guard(OUTSIDE.rules, naming("127.0.0.2", "127.0.0.1"))
        with pytest.raises(SourceForbidden, match=r"cam\.example"):
            first_frame(f"{scheme}://cam.example:{port}/x", guard)
        assert not came


@pytest.mark.parametrize("scheme", ["http", "https", "rtsp", "tcp", "httpproxy"])
def test_a_redirect_over_http_leads_nowhere_else(scheme: str) -> None:
    with trap() as (port, came):
        moved = f"HTTP/1.0 302 Found\r\nLocation: {scheme}://127.0.0.1:{port}/x\r\n\r\n"
        with outside(moved.encode()) as host, pytest.raises(SourceFault) as caught:
            first_frame(f"http://{host}/x", OUTSIDE)
        assert isinstance(caught.value, SourceForbidden) or not scheme.startswith("http:")
        assert not came


def test_a_playlist_leads_nowhere_else() -> None:
    with trap() as (port, came):
        body = f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:{port}/a.ts\n"
        head = "HTTP/1.0 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\n\r\n"
        with (
            outside((head + body + "#EXT-X-ENDLIST\n").encode()) as host,
            pytest.raises(SourceForbidden, match="may not open"),
        ):
            first_frame(f"http://{host}/live.m3u8", OUTSIDE)
        assert not came


@contextmanager
def rtsp_redirecting(method: str, status: str, to: str) -> Iterator[str]:
    """An RTSP server on 127.0.0.2 that redirects this method and agrees to all others; yield its
    host and port."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            while request := self.rfile.readline().decode():
                number = b""
                while (line := self.rfile.readline()).strip():
                    number = line if line.lower().startswith(b"cseq") else number
                moved = request.startswith(method + " ")
                answer = f"RTSP/1.0 {status}\r\nLocation: {to}" if moved else "RTSP/1.0 200 OK"
                self.wfile.write(f"{answer}\r\n{number.decode()}\r\n".encode())

    with ThreadingTCPServer(("127.0.0.2", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"127.0.0.2:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("guard", [OUTSIDE, HOME], ids=["outside", "home"])
@pytest.mark.parametrize("status", ["301 Moved Permanently", "302 Found", "303 See Other"])
@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE"])
def test_a_redirect_over_rtsp_is_refused(guard: Guard, status: str, method: str) -> None:
    with (
        trap() as (port, came),
        rtsp_redirecting(method, status, f"rtsp://127.0.0.1:{port}/x") as host,
    ):
        with pytest.raises(SourceForbidden, match="redirects to another address"):
            first_frame(f"rtsp://{host}/x", guard)
        assert not came


@pytest.mark.parametrize("method", ["OPTIONS", "DESCRIBE"])
def test_ffmpeg_alone_would_follow_it(method: str) -> None:
    with trap() as (port, came):
        to = f"rtsp://127.0.0.1:{port}/x"
        with rtsp_redirecting(method, "302 Found", to) as host, pytest.raises(SourceFault):
            first_frame(f"rtsp://{host}/x", None)
        assert came


@pytest.mark.parametrize("auth", ["", "basic", "digest"])
def test_a_camera_over_rtsp_is_read_through_the_relay(
    camera: Callable[..., Camera], auth: str
) -> None:
    url = camera(auth=auth).mount(0, "user:secret" if auth else "")
    assert first_frame(url, EVERYWHERE).size == (240, 320)


def test_a_handshake_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.dialling.relay.CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        relay = RtspRelay(EVERYWHERE, *silent.getsockname(), secure=True)
        with closing(relay), socket.create_connection(("127.0.0.1", relay.port), 30) as client:
            assert client.recv(1) == b""
            camera, _ = silent.accept()
            with camera:
                camera.settimeout(30)
                while camera.recv(4096):
                    pass  # the client's hello


def test_other_schemes_cannot_be_checked_and_are_refused() -> None:
    for url in ("udp://127.0.0.2:1", "tcp://127.0.0.2:1/x", "rtp://127.0.0.2:1"):
        with pytest.raises(SourceForbidden, match="cannot check"), passage(url, OUTSIDE):
            pass


METADATA = ["169.254.169.254", "100.100.100.200", "[fd00:ec2::254]", "[::ffff:169.254.169.254]"]


@pytest.mark.parametrize("host", METADATA)
def test_at_home_a_redirect_does_not_lead_to_a_metadata_service(host: str) -> None:
    moved = f"HTTP/1.0 302 Found\r\nLocation: http://{host}/latest/\r\n\r\n"
    with outside(moved.encode()) as camera, pytest.raises(SourceForbidden, match="may not open"):
        first_frame(f"http://{camera}/x", HOME)


def test_at_home_a_name_does_not_become_that_of_a_metadata_service() -> None:
    guard = Guard(HOME.rules, naming("127.0.0.1", "169.254.169.254"))
    with pytest.raises(SourceForbidden, match=r"cam\.example"):
        first_frame("http://cam.example:1/x", guard)


def test_at_home_a_camera_over_rtsp_is_read_through_the_relay_too() -> None:
    url = "rtsp://user:secret@127.0.0.1:8554/x?y"
    with passage(url, HOME) as way:
        parts = urlsplit(way.url)
        assert way.url == f"rtsp://user:secret@127.0.0.1:{parts.port}/x?y" and parts.port != 8554
        assert "secret" not in repr(way)


def test_without_a_guard_or_a_scheme_with_redirects_ffmpeg_connects_by_itself() -> None:
    with passage("rtsp://127.0.0.1/x", None) as way:
        assert (way.url, dict(way.options)) == ("rtsp://127.0.0.1/x", {})
    with passage("udp://127.0.0.1:5000", HOME) as way:
        assert way.url == "udp://127.0.0.1:5000"
    with pytest.raises(SourceForbidden), passage("udp://169.254.169.254:5000", HOME):
        pass


def test_proxies_of_the_environment_do_not_lead_past_the_check(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with trap() as (port, came):
        moved = f"HTTP/1.0 302 Found\r\nLocation: http://127.0.0.1:{port}/x\r\n\r\n"
        with outside(moved.encode()) as host, pytest.raises(SourceForbidden):
            first_frame(f"http://{host}/x", OUTSIDE)
        assert not came


def test_files_are_not_affected(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 3, (64, 48))
    frames = read_frames(Reading(clip, 48, 64, False, None, 10**7, None, 1, guard=OUTSIDE))
    assert len(list(frames)) == 3


def read_within(client: socket.socket, seconds: float) -> bytes:
    client.settimeout(seconds)
    try:
        return client.recv(100)
    except (TimeoutError, ConnectionResetError):
        return b""


def connected_to(way: Passage) -> socket.socket:
    parts = urlsplit(way.url)
    assert parts.hostname and parts.port
    return socket.create_connection((parts.hostname, parts.port))


@contextmanager
def talkative() -> Iterator[str]:
    """Yield the URL of a server that speaks at once."""

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            with suppress(ConnectionResetError):
                self.wfile.write(b"RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n")
                self.rfile.read()

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"rtsp://127.0.0.1:{server.server_address[1]}/cam"
        finally:
            server.shutdown()
            thread.join()


def test_nothing_passes_before_it_may() -> None:
    held, free = threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        assert free.wait(10.0)

    with talkative() as url, passage(url, HOME, hold) as way, connected_to(way) as client:
        assert read_within(client, 0.1) == b"" and not held.is_set()
        client.sendall(b"OPTIONS * RTSP/1.0\r\n\r\n")
        assert held.wait(10.0) and read_within(client, 0.1) == b""
        free.set()
        assert read_within(client, 10.0).startswith(b"RTSP/1.0 200 OK")


def test_who_may_not_read_is_cut_off() -> None:
    def hold() -> None:
        raise ConnectionRefusedError

    with talkative() as url, passage(url, HOME, hold) as way, connected_to(way) as client:
        client.sendall(b"OPTIONS * RTSP/1.0\r\n\r\n")
        assert read_within(client, 10.0) == b""


def test_who_has_to_wait_is_connected_to_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"rtsp://127.0.0.1:{server.getsockname()[1]}/cam"
        with passage(url, HOME, lambda: None):
            server.settimeout(10.0)
            first, _ = server.accept()
        with first:
            assert read_within(first, 10.0) == b""  # closed with the passage
    with pytest.raises(SourceUnreachable), passage(url, HOME, lambda: None):
        raise AssertionError("nobody listens there")


def test_a_connection_that_was_made_ahead_serves_its_own_place_only() -> None:
    with talkative() as url:
        port = urlsplit(url).port
        assert port
        with closing(RtspRelay(HOME, "127.0.0.1", port)) as relay:
            relay.prepare("127.0.0.1", port)
            with pytest.raises(SourceUnreachable), relay.dial("127.0.0.1", 1):
                raise AssertionError("nobody listens there")
            relay.prepare("127.0.0.1", port)
            with relay.dial("127.0.0.1", port) as first, relay.dial("127.0.0.1", port) as second:
                assert first.getsockname() != second.getsockname()
