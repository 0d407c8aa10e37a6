"""A session that moves from socket to socket: every mask is that of the unbroken stream."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from starlette.testclient import WebSocketTestSession

import protocol
from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.frame import Pixels
from server.recordings.recording_file import read
from server.recordings.records import Ending, Masked
from server.settings import Settings, StreamSettings

SIDE = 32
WISH = {
    "type": "open",
    "input": "rgb24",
    "width": SIDE,
    "height": SIDE,
    "output": "raw",
    "policy": "every",
}
FRAMES = 12


@contextmanager
def service(
    folder: Path, on_step: Callable[[Sequence[Pixels]], None] | None = None, **streams: Any
) -> Iterator[TestClient]:
    app = create_app(
        Settings(folder=folder, streams=StreamSettings(**streams)),
        lambda: FakeEngine(fake_spec(SIDE, SIDE), on_step=on_step),
    )
    with TestClient(app) as web:
        assert web.portal
        web.portal.call(app.state.service.loaded)
        yield web


@contextmanager
def stream(web: TestClient, **wish: Any) -> Iterator[tuple[WebSocketTestSession, dict[str, Any]]]:
    with web.websocket_connect("/v1/stream") as socket:
        socket.send_json(WISH | wish)
        ready = socket.receive_json()
        assert ready["type"] == "ready"
        yield socket, ready


def send(socket: WebSocketTestSession, seq: int, **header: Any) -> None:
    picture = bytes((seq * 37 + at) % 256 for at in range(SIDE * SIDE * 3))
    socket.send_bytes(protocol.pack({"seq": seq} | header, picture))


def mask(socket: WebSocketTestSession) -> tuple[int, bytes]:
    message = socket.receive_bytes()
    header, payload = protocol.unpack(message, len(message))
    return header["seq"], payload


def unbroken(web: TestClient, resets: tuple[int, ...] = ()) -> list[tuple[int, bytes]]:
    with stream(web) as (socket, _):
        found = []
        for seq in range(FRAMES):
            send(socket, seq, reset=seq in resets)
            found.append(mask(socket))
        return found


def parked(web: TestClient) -> str:
    lines = web.get("/metrics").text.splitlines()
    return next(line for line in lines if line.startswith('mastream_sessions{state="parked"}'))


@pytest.mark.parametrize("read", [0, 1, 3, 5])
def test_masks_that_a_lost_socket_did_not_deliver_are_sent_again(tmp_path: Path, read: int) -> None:
    """All 5 frames are segmented; the client has read some of the masks, as seen by it."""
    with service(tmp_path) as web:
        whole = unbroken(web)
        with stream(web) as (socket, ready):
            for seq in range(5):
                send(socket, seq)
            found = [mask(socket) for _ in range(5)][:read]
            socket.close(1006)
        with stream(web, resume=ready["resume"]) as (socket, again):
            assert (again["memory"], again["resume"]) == ("intact", ready["resume"])
            assert again["session"] == ready["session"]
            for seq in range(read, FRAMES):
                send(socket, seq)
                found.append(mask(socket))
    assert found == whole


def test_frames_on_their_way_when_the_socket_is_lost_reach_the_memory_once(tmp_path: Path) -> None:
    held, steps = threading.Event(), threading.Semaphore(0)

    def hold(_: Sequence[Pixels]) -> None:
        steps.release()
        assert held.wait(30)

    with service(tmp_path, hold) as web:
        with stream(web) as (socket, ready):
            for seq in range(5):
                send(socket, seq)
            assert steps.acquire(timeout=30)
            socket.close(1006)
        with stream(web, resume=ready["resume"]) as (socket, again):
            assert again["memory"] == "intact"
            for seq in range(5):
                send(socket, seq)
            held.set()
            found = [mask(socket) for _ in range(5)]
            for seq in range(5, FRAMES):
                send(socket, seq)
                found.append(mask(socket))
        assert found == unbroken(web)


def test_a_socket_that_is_still_open_is_taken_over(tmp_path: Path) -> None:
    with service(tmp_path) as web:
        with stream(web) as (older, ready):
            for seq in range(3):
                send(older, seq)
            found = [mask(older) for _ in range(3)]
            with stream(web, resume=ready["resume"]) as (newer, again):
                assert again["memory"] == "intact"
                told = older.receive_json()
                assert (told["code"], told["fatal"]) == ("taken_over", True)
                ended = older.receive()
                assert (ended["code"], ended["reason"]) == (4409, "taken_over")
                for seq in range(3, FRAMES):
                    send(newer, seq)
                    found.append(mask(newer))
        assert found == unbroken(web)


def test_a_reset_on_its_way_is_not_lost(tmp_path: Path) -> None:
    held, steps = threading.Event(), threading.Semaphore(0)

    def hold(_: Sequence[Pixels]) -> None:
        steps.release()
        assert held.wait(30)

    with service(tmp_path, hold, window=2) as web:
        with stream(web) as (socket, ready):
            send(socket, 0)
            socket.send_json({"type": "reset"})
            socket.send_json({"type": "ping"})
            assert steps.acquire(timeout=30)
            assert socket.receive_json() == {"type": "pong"}
            socket.close(1006)
        held.set()
        with stream(web, resume=ready["resume"]) as (socket, _):
            found = []
            for seq in range(FRAMES):
                send(socket, seq)
                found.append(mask(socket))
        assert found == unbroken(web, resets=(1,))


@pytest.mark.parametrize(
    ("leave", "memory"),
    [
        (lambda socket: socket.close(1001), "intact"),
        (lambda socket: socket.close(1006), "intact"),
        (lambda socket: socket.close(1011), "intact"),
        (lambda socket: socket.close(1000), "cold"),
        (lambda socket: socket.close(1005), "cold"),
        (lambda socket: socket.close(4000), "cold"),
        (lambda socket: socket.send_json({"type": "end"}), "cold"),
        (lambda socket: socket.send_text("nonsense"), "cold"),
    ],
)
def test_only_the_session_of_a_lost_socket_waits(
    tmp_path: Path, leave: Callable[[WebSocketTestSession], None], memory: str
) -> None:
    with service(tmp_path) as web:
        with stream(web) as (socket, ready):
            send(socket, 0)
            mask(socket)
            leave(socket)
        waits = 1 if memory == "intact" else 0
        assert parked(web).endswith(f" {waits}.0")
        with stream(web, resume=ready["resume"]) as (socket, again):
            assert again["memory"] == memory
            assert (again["session"] == ready["session"]) == (memory == "intact")
            assert parked(web).endswith(" 0.0")


def test_a_cold_session_with_a_replay_gives_the_masks_of_the_unbroken_one(tmp_path: Path) -> None:
    with service(tmp_path) as web:
        whole = unbroken(web)
        with stream(web, resume="of another process") as (socket, ready):
            assert ready["memory"] == "cold" and ready["resume"]
            assert ready["model"]["memory_horizon"] == 2
            for seq in (3, 4):
                send(socket, seq, replay=True)
            found = []
            for seq in range(5, FRAMES):
                send(socket, seq)
                found.append(mask(socket))
    assert found == whole[5:]


def test_frames_without_a_number_continue_the_count(tmp_path: Path) -> None:
    with service(tmp_path) as web:
        with stream(web) as (socket, ready):
            send(socket, 7)
            mask(socket)
            socket.close(1006)
        with stream(web, resume=ready["resume"]) as (socket, _):
            socket.send_bytes(protocol.pack({}, bytes(SIDE * SIDE * 3)))
            assert mask(socket)[0] == 8


def test_a_session_moves_as_often_as_it_must(tmp_path: Path) -> None:
    with service(tmp_path) as web:
        whole, found, token = unbroken(web), [], None
        for seq in range(FRAMES):
            with stream(web, resume=token) as (socket, ready):
                if seq:
                    assert ready["memory"] == "intact"
                    send(socket, seq - 1)
                    assert mask(socket) == whole[seq - 1]
                token = ready["resume"]
                send(socket, seq)
                found.append(mask(socket))
                socket.close(1006)
    assert found == whole


def test_with_resuming_off_there_is_no_token(tmp_path: Path) -> None:
    with service(tmp_path, resume_seconds=0) as web:
        with stream(web) as (socket, ready):
            assert ready["resume"] is None
            send(socket, 0)
            mask(socket)
            socket.close(1006)
        with stream(web, resume="x") as (_, again):
            assert (again["memory"], again["resume"]) == ("cold", None)


def test_a_recording_continues_with_its_session(tmp_path: Path) -> None:
    with service(tmp_path, record=True) as web:
        with web.websocket_connect("/v1/stream?record=1") as socket:
            socket.send_json(WISH)
            ready = socket.receive_json()
            for seq in range(3):
                send(socket, seq)
                mask(socket)
            socket.close(1006)
        with stream(web, resume=ready["resume"]) as (socket, _):
            for seq in range(2, 6):
                send(socket, seq)
                mask(socket)
    blocks = read(tmp_path / "recordings" / f"{ready['session']}.mastream")
    records = [block.record for block in blocks]
    assert [one.seq for one in records if isinstance(one, Masked)] == list(range(6))
    assert records[-1] == Ending(why="closed")
