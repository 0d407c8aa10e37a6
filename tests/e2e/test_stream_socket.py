"""The stream socket of a real server: its promises, its refusals, and that a client's fault does
not affect others."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import struct
import time
import urllib.error
import urllib.request
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any

import cv2
import numpy as np
import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

import protocol

PICTURE = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
JPEG = cv2.imencode(".jpg", PICTURE)[1].tobytes()
PATIENCE = 60.0


@contextmanager
def stream(server: Any, wish: dict[str, Any] | None = None, query: str = "", **options: Any) -> Any:
    """An open stream: (socket, ``ready``)."""
    address = f"{server.ws}/v1/stream{query}"
    options = {"subprotocols": ["mastream.v1"], "compression": None, "max_size": None} | options
    with connect(address, **options) as web_socket:
        if wish is not None:
            web_socket.send(json.dumps({"type": "open"} | wish))
            yield web_socket, json.loads(web_socket.recv(PATIENCE))
        else:
            yield web_socket, None


def frame(seq: int | None = None, picture: bytes = JPEG, **header: Any) -> bytes:
    return protocol.pack(header if seq is None else {"seq": seq} | header, picture)


def hear(web_socket: ClientConnection) -> tuple[dict[str, Any], bytes]:
    """The next message: its fields, and its payload if it is binary."""
    message = web_socket.recv(PATIENCE)
    if isinstance(message, str):
        return json.loads(message), b""
    header, payload = protocol.unpack(message, len(message))
    return header | {"type": "mask"}, payload


def hear_all(web_socket: ClientConnection) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Return all messages until the server closes."""
    while True:
        try:
            yield hear(web_socket)
        except ConnectionClosed:
            return


def closed(web_socket: ClientConnection) -> tuple[int | None, str | None]:
    """Return the close code and its reason's word; messages before the close are skipped."""
    for _ in hear_all(web_socket):
        pass
    return web_socket.close_code, (web_socket.close_reason or "").partition(":")[0]


def answers(told: list[dict[str, Any]]) -> Counter[int]:
    """Return how often each seq was answered."""
    found: Counter[int] = Counter()
    for one in told:
        if one["type"] == "dropped":
            found.update(one["seqs"])
        elif one["type"] == "mask" or (one["type"] == "error" and one["seq"] is not None):
            found[one["seq"]] += 1
    return found


def get(server: Any, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(server.http + path, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def open_sessions(server: Any) -> float:
    """Return how many sessions have a socket."""
    pattern = r'^mastream_sessions\{state="(?!parked)\w+"\} (\S+)'
    lines = re.findall(pattern, get(server, "/metrics")[1], re.M)
    return sum(map(float, lines))


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


@contextmanager
def neighbour(server: Any) -> Iterator[None]:
    """Another stream that is served before, during and after what happens in the block."""
    with stream(server, {"policy": "every"}) as (web_socket, _):
        for seq in range(2):
            web_socket.send(frame(seq))
            assert hear(web_socket)[0]["seq"] == seq
        yield
        for seq in range(2, 6):
            web_socket.send(frame(seq))
            header, _ = hear(web_socket)
            assert (header["seq"], header["memory"]["filled"]) == (seq, 2)
        web_socket.send('{"type":"end"}')
        assert closed(web_socket) == (1000, "end")


# what it promises


def test_ready_describes_the_session(server: Any) -> None:
    with stream(server, {}) as (web_socket, ready):
        assert web_socket.subprotocol == "mastream.v1"
        assert ready["type"] == "ready" and ready["session"] and ready["memory"] == "new"
        assert ready["model"]["name"] == "fake" and ready["model"]["memory_horizon"] == 2
        assert ready["model"]["classes"][0] == {"name": "sky", "colour": [128, 128, 128]}
        assert ready["limits"]["max_message_bytes"] == 2_000_000
        assert ready["window"] == 8


def test_a_bare_picture_without_open_or_subprotocol_is_a_frame(server: Any) -> None:
    with stream(server, subprotocols=None) as (web_socket, _):
        web_socket.send(JPEG)
        assert web_socket.subprotocol is None
        assert hear(web_socket)[0]["type"] == "ready"
        header, payload = hear(web_socket)
        assert (header["seq"], header["width"], header["height"]) == (0, 32, 24)
        assert protocol.decode_mask(payload, "png", 32, 24).shape == (24, 32)


def test_a_silent_client_is_given_its_ready_and_may_open_later(server: Any) -> None:
    with stream(server) as (web_socket, _):
        assert hear(web_socket)[0]["type"] == "ready"
        web_socket.send('{"type":"open","output":"none"}')
        assert hear(web_socket)[0]["type"] == "ready"
        web_socket.send(JPEG)
        header, payload = hear(web_socket)
        assert header["encoding"] == "none" and payload == b""


def test_a_mask_header_reports_all_that_the_protocol_promises(server: Any) -> None:
    with stream(server, {"output": "raw", "size": "model"}) as (web_socket, ready):
        web_socket.send(frame(7, pts=1.25))
        header, payload = hear(web_socket)
    labels = protocol.decode_mask(payload, "raw", 480, 352)
    names = [one["name"] for one in ready["model"]["classes"]]
    assert (header["seq"], header["pts"], header["batch"]) == (7, 1.25, 1)
    assert header["memory"] == {"filled": 0, "reset": "new"}
    assert set(header["ms"]) == set(protocol.STAGES)
    assert all(value >= 0 for value in header["ms"].values())
    shares = {name: float(np.mean(labels == index)) for index, name in enumerate(names)}
    assert header["areas"] == pytest.approx(shares, abs=1e-6)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
@pytest.mark.parametrize("output", ["png", "rle", "raw"])
def test_every_encoding_in_and_out_gives_a_mask_of_the_input_size(
    server: Any, suffix: str, output: str
) -> None:
    picture = cv2.imencode(suffix, PICTURE)[1].tobytes()
    with stream(server, {"output": output}) as (web_socket, _):
        web_socket.send(frame(0, picture))
        header, payload = hear(web_socket)
    assert protocol.decode_mask(payload, output, 32, 24).max() < 11
    assert (header["encoding"], header["width"], header["height"]) == (output, 32, 24)


def test_raw_pictures_give_the_mask_of_the_same_png(server: Any) -> None:
    found = []
    rgb = cv2.cvtColor(PICTURE, cv2.COLOR_BGR2RGB).tobytes()
    raw = {"input": "rgb24", "width": 32, "height": 24}
    for wish, picture in (({}, cv2.imencode(".png", PICTURE)[1].tobytes()), (raw, rgb)):
        with stream(server, {"output": "raw"} | wish) as (web_socket, _):
            web_socket.send(frame(0, picture))
            found.append(hear(web_socket)[1])
    assert found[0] == found[1]


@pytest.mark.parametrize(("size", "shape"), [("input", (24, 32, 3)), ("model", (352, 480, 3))])
def test_an_overlay_follows_the_mask(server: Any, size: str, shape: tuple[int, ...]) -> None:
    with stream(server, {"overlay": True, "output": "raw", "size": size}) as (web_socket, _):
        web_socket.send(JPEG)
        header, payload = hear(web_socket)
    mask, overlay = payload[: -header["overlay"]], payload[-header["overlay"] :]
    assert len(mask) == shape[0] * shape[1]
    assert cv2.imdecode(np.frombuffer(overlay, np.uint8), cv2.IMREAD_COLOR).shape == shape


def test_every_loses_nothing_however_fast_the_client_sends(server: Any) -> None:
    with stream(server, {"policy": "every", "output": "none"}) as (web_socket, _):
        for seq in range(50):
            web_socket.send(frame(seq))
        web_socket.send('{"type":"end"}')
        told = [one for one, _ in hear_all(web_socket)]
    assert [one["seq"] for one in told[:-1]] == list(range(50))
    assert told[-1] == {"type": "end"} and web_socket.close_code == 1000


def test_latest_reports_every_frame_that_a_newer_one_replaced(run_server: Any) -> None:
    with run_server(engine__fake_step_ms="50") as slow, stream(slow, {}) as (web_socket, _):
        for seq in range(40):
            web_socket.send(frame(seq))
        web_socket.send('{"type":"end"}')
        told = [one for one, _ in hear_all(web_socket)]
    assert answers(told) == dict.fromkeys(range(40), 1)
    assert {one["cause"] for one in told if one["type"] == "dropped"} == {"newer"}
    assert 39 in [one["seq"] for one in told if one["type"] == "mask"]


def test_a_frame_older_than_its_budget_is_dropped_as_stale(run_server: Any) -> None:
    wish = {"policy": "every", "budget_ms": 60}
    with run_server(engine__fake_step_ms="100") as slow, stream(slow, wish) as (web_socket, _):
        for seq in range(4):
            web_socket.send(frame(seq))
        web_socket.send('{"type":"end"}')
        told = [one for one, _ in hear_all(web_socket)]
    assert answers(told) == dict.fromkeys(range(4), 1)
    assert {one["cause"] for one in told if one["type"] == "dropped"} == {"stale"}


def test_a_reset_empties_the_memory_before_the_next_frame(server: Any) -> None:
    with stream(server, {"policy": "every"}) as (web_socket, _):
        web_socket.send(frame(0))
        web_socket.send(frame(1))
        web_socket.send('{"type":"reset"}')
        web_socket.send(frame(2))
        web_socket.send(frame(3))
        web_socket.send(frame(4, reset=True))
        memories = [hear(web_socket)[0]["memory"] for _ in range(5)]
    assert [one["filled"] for one in memories] == [0, 1, 0, 1, 0]
    assert [one["reset"] for one in memories] == ["new", None, "client", None, "client"]


def test_a_reset_outlives_the_loss_of_its_frame(server: Any) -> None:
    with stream(server, {"policy": "every"}) as (web_socket, _):
        web_socket.send(frame(0))
        web_socket.send(frame(1, b"no picture", reset=True))
        web_socket.send(frame(2))
        told = [hear(web_socket)[0] for _ in range(3)]
    masks = {one["seq"]: one["memory"] for one in told if one["type"] == "mask"}
    assert masks[2] == {"filled": 0, "reset": "client"}


def test_ping_is_answered(server: Any) -> None:
    with stream(server, {}) as (web_socket, _):
        web_socket.send('{"type":"ping"}')
        assert hear(web_socket)[0] == {"type": "pong"}


@pytest.mark.anyio
async def test_sixteen_sockets_get_every_answer_exactly_once(server: Any) -> None:
    async def one(rate: float, frames: int) -> list[dict[str, Any]]:
        told = []
        async with connect_async(f"{server.ws}/v1/stream", compression=None) as web_socket:
            await web_socket.send('{"type":"open","output":"none"}')
            for seq in range(frames):
                await web_socket.send(frame(seq))
                await asyncio.sleep(1 / rate)
            await web_socket.send('{"type":"end"}')
            async for message in web_socket:
                binary = isinstance(message, bytes)
                content = protocol.unpack(message, len(message)).header if binary else message
                told.append(content | {"type": "mask"} if binary else json.loads(content))
        return told

    for told in await asyncio.gather(*(one(30.0, 30) for _ in range(16))):
        assert answers(told) == dict.fromkeys(range(30), 1)
        assert any(one["type"] == "mask" for one in told), "a stream starved"
        assert told[-1] == {"type": "end"}


# what it refuses


@pytest.mark.parametrize(
    ("message", "close", "word"),
    [
        ("these are no frames", 4400, "bad_message"),
        ('{"type":"nonsense"}', 4400, "bad_request"),
        ('{"type":"open","policy":"whatever"}', 4400, "bad_request"),
        ('{"type":"open","input":"rgb24"}', 4400, "bad_request"),
        (b"abc", 4400, "bad_message"),
        (struct.pack("<I", 9) + b"not JSON!" + JPEG, 4400, "bad_message"),
        (struct.pack("<I", 1_000_000) + b" " * 1_000_000, 1009, "too_large"),
        (frame(-1), 4400, "bad_request"),
        (frame(0, colour="red"), 4400, "bad_request"),
    ],
)
def test_a_bad_message_ends_its_stream_with_a_clear_word(
    server: Any, message: str | bytes, close: int, word: str
) -> None:
    with neighbour(server), stream(server) as (web_socket, _):
        web_socket.send(message)
        told = [one for one, _ in hear_all(web_socket)]
        assert told[-1]["type"] == "error" and told[-1]["fatal"]
        assert told[-1]["code"] == word and told[-1]["detail"]
        assert closed(web_socket) == (close, word)


def test_text_that_is_not_utf8_is_closed_as_such(server: Any) -> None:
    with neighbour(server), stream(server, {}) as (web_socket, _):
        web_socket.send(b"\xff\xfe", text=True)
        assert closed(web_socket)[0] == 1007


def test_a_message_above_the_limit_is_too_big(server: Any) -> None:
    with neighbour(server), stream(server, {}) as (web_socket, _):
        with suppress(ConnectionClosed):
            web_socket.send(frame(0, bytes(8_000_000)))
        assert closed(web_socket) == (1009, "too_large")


@pytest.mark.parametrize("seqs", [(5, 5), (5, 4)])
def test_a_seq_that_does_not_rise_is_a_violation(server: Any, seqs: tuple[int, int]) -> None:
    with neighbour(server), stream(server, {}) as (web_socket, _):
        for seq in seqs:
            web_socket.send(frame(seq))
        told = [one for one, _ in hear_all(web_socket)]
        assert [one["seq"] for one in told if one["type"] == "mask"] == [5]
        assert (told[-1]["code"], told[-1]["seq"]) == ("out_of_sequence", seqs[1])
        assert closed(web_socket) == (4422, "out_of_sequence")


def test_a_truncated_jpeg_costs_one_frame_and_no_more(server: Any) -> None:
    with neighbour(server), stream(server, {}) as (web_socket, _):
        web_socket.send(frame(0, JPEG[: len(JPEG) // 2]))
        told, _ = hear(web_socket)
        assert (told["type"], told["seqs"], told["cause"]) == ("dropped", [0], "undecodable")
        assert "cut off" in told["detail"]
        web_socket.send(frame(1))
        assert hear(web_socket)[0]["seq"] == 1


def test_a_huge_picture_is_refused_before_it_is_decoded(server: Any) -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        check = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", check)

    rows = zlib.compress(bytes(20_000 * 3 + 1) * 100)
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    huge = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows)
    with neighbour(server), stream(server, {}) as (web_socket, _):
        web_socket.send(frame(0, huge + chunk(b"IEND", b"")))
        told, _ = hear(web_socket)
        assert (told["type"], told["code"], told["seq"]) == ("error", "too_large", 0)
        assert not told["fatal"] and "20000x20000" in told["detail"]
        web_socket.send(frame(1))
        assert hear(web_socket)[0]["seq"] == 1


def test_open_after_a_frame_is_a_bad_message(server: Any) -> None:
    with stream(server, {}) as (web_socket, _):
        web_socket.send(frame(0))
        web_socket.send('{"type":"open"}')
        assert closed(web_socket) == (4400, "bad_message")


def test_an_unknown_model_is_not_found(server: Any) -> None:
    with stream(server, query="?model=nobody") as (web_socket, _):
        assert hear(web_socket)[0]["code"] == "not_found"
        assert closed(web_socket) == (4404, "not_found")


def test_a_foreign_subprotocol_is_refused(server: Any) -> None:
    with stream(server, subprotocols=["mastream.v9"]) as (web_socket, _):
        assert closed(web_socket) == (4400, "bad_request")


def test_a_full_server_turns_a_stream_away_until_one_ends(run_server: Any) -> None:
    with run_server(streams__max_sessions="1") as small:
        with stream(small, {}) as (first, _), stream(small) as (second, _):
            first.send(frame(0))
            assert hear(first)[0]["seq"] == 0
            second.send('{"type":"open"}')
            assert closed(second) == (4503, "no_capacity")
        eventually(lambda: open_sessions(small) == 0)
        with stream(small, {}) as (_, ready):
            assert ready["type"] == "ready"


# misfortunes


def test_a_silent_client_is_closed_as_idle(run_server: Any) -> None:
    with run_server(streams__idle_seconds="0.3") as impatient:
        with stream(impatient, {}) as (web_socket, _):
            assert closed(web_socket) == (4408, "too_slow")
        eventually(lambda: open_sessions(impatient) == 0)


def test_a_client_that_never_reads_is_given_up(server: Any) -> None:
    wish = {"output": "raw", "size": "model"}
    options = {"max_queue": 1, "ping_interval": None}
    with neighbour(server), stream(server, wish, **options) as (web_socket, _):
        with suppress(ConnectionClosed):
            for seq in count():
                web_socket.send(frame(seq))
                if open_sessions(server) == 1:  # the neighbour's alone
                    break
        assert closed(web_socket) == (4408, "too_slow")


def test_a_client_that_reads_late_is_told_which_masks_it_lost(run_server: Any) -> None:
    wish = {"output": "raw", "size": "model"}
    with run_server() as server, stream(server, wish, max_queue=1) as (web_socket, _):
        frames = 0
        while 'cause="client_slow"' not in get(server, "/metrics")[1]:
            web_socket.send(frame(frames))
            frames += 1
        web_socket.send('{"type":"end"}')
        told = [one for one, _ in hear_all(web_socket)]
    assert answers(told) == dict.fromkeys(range(frames), 1)
    assert "client_slow" in {one["cause"] for one in told if one["type"] == "dropped"}


def test_a_socket_that_vanishes_in_mid_frame_frees_its_session(server: Any) -> None:
    with neighbour(server):
        host, port = server.address.split(":")
        with socket.create_connection((host, int(port)), PATIENCE) as raw:
            request = (
                "GET /v1/stream HTTP/1.1",
                f"Host: {server.address}",
                "Upgrade: websocket",
                "Connection: Upgrade",
                "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
            )
            raw.sendall("\r\n".join((*request, "", "")).encode())
            assert raw.recv(4096).startswith(b"HTTP/1.1 101")
            opening = b'{"type":"open"}'
            raw.sendall(bytes((0x81, 0x80 | len(opening))) + bytes(4) + opening)
            eventually(lambda: open_sessions(server) == 2)
            raw.sendall(b"\x82\xfe" + struct.pack(">H", 50_000) + bytes(4) + JPEG[:100])
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        eventually(lambda: open_sessions(server) == 1)


# the end of the server


def test_sigterm_delivers_what_was_taken_and_ends_well(run_server: Any) -> None:
    with (
        run_server(engine__fake_step_ms="300") as server,
        stream(server, {"policy": "every"}) as (web_socket, _),
    ):
        for seq in range(4):
            web_socket.send(frame(seq))
        assert hear(web_socket)[0]["seq"] == 0
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: get(server, "/health/ready")[0] == 503)
        with stream(server) as (late, _):
            assert closed(late) == (1013, "draining")
        told = [one for one, _ in hear_all(web_socket)]
        assert [one["seq"] for one in told[:-1]] == [1, 2, 3]
        assert told[-1]["type"] == "going_away" and told[-1]["reconnect_after_ms"] > 0
        assert told[-1]["taken"] == 3
        assert closed(web_socket) == (1012, "going_away")
        assert server.process.wait(PATIENCE) == 0


def test_a_drain_ends_in_time_whatever_a_client_does(run_server: Any) -> None:
    limits = {"engine__fake_step_ms": "600000", "drain_seconds": "2"}
    with run_server(**limits) as server, stream(server, {}) as (web_socket, _):
        web_socket.send(frame(0))
        eventually(lambda: 'sessions{state="stepping"} 1.0' in get(server, "/metrics")[1])
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE) == 0
        closed(web_socket)


def test_a_second_signal_ends_at_once(run_server: Any) -> None:
    limits = {"engine__fake_step_ms": "600000", "drain_seconds": "600"}
    with run_server(**limits) as server, stream(server, {}) as (web_socket, _):
        web_socket.send(frame(0))
        eventually(lambda: 'sessions{state="stepping"} 1.0' in get(server, "/metrics")[1])
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: get(server, "/health/ready")[0] == 503)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE) == 128 + signal.SIGTERM
        closed(web_socket)
