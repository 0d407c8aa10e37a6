"""Conversations in which something goes wrong: each stream receives only its own errors."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from small_stream import WISH
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocket

import protocol
from server.app import create_app
from server.engines.fake import FakeEngine, fake_spec
from server.errors import EngineFault
from server.fair_pace import FairPace
from server.frame import Pixels
from server.metrics import Metrics
from server.settings import Settings, StreamSettings
from server.streams.byte_budget import ByteBudget
from server.streams.mask_packer import MaskPacker
from server.threads import PicturePool
from server.web.stream_services import StreamServices
from server.web.stream_socket import StreamSocket
from server.web.transports.allowance import MESSAGES_A_SECOND, MESSAGES_AT_ONCE
from server.workers.worker import Worker

pytestmark = pytest.mark.anyio

POISON = 66


@contextmanager
def service(
    folder: Path,
    on_step: Callable[[Sequence[Pixels]], None] | None = None,
    streams: StreamSettings | None = None,
) -> Iterator[TestClient]:
    app = create_app(
        Settings(folder=folder, streams=streams or StreamSettings()),
        lambda: FakeEngine(fake_spec(16, 16), on_step=on_step),
    )
    with TestClient(app) as web:
        assert web.portal
        web.portal.call(app.state.service.loaded)
        yield web


@contextmanager
def stream(web: TestClient) -> Iterator[WebSocketTestSession]:
    with web.websocket_connect("/v1/stream") as socket:
        socket.send_json(WISH)
        assert socket.receive_json()["type"] == "ready"
        yield socket


def send(socket: WebSocketTestSession, seq: int, value: int = 0) -> None:
    socket.send_bytes(protocol.pack({"seq": seq}, bytes([value]) * (16 * 16 * 3)))


def mask(socket: WebSocketTestSession) -> protocol.MaskHeader:
    message = socket.receive_bytes()
    return protocol.MaskHeader.from_dict(protocol.unpack(message, len(message)).header)


def refuse_poison(frames: Sequence[Pixels]) -> None:
    if any(frame[0, 0, 0] == POISON for frame in frames):
        raise EngineFault("this frame is poison")


def test_a_failed_step_is_reported_and_the_stream_continues(tmp_path: Path) -> None:
    with service(tmp_path, refuse_poison) as web, stream(web) as socket, stream(web) as other:
        send(socket, 0)
        assert mask(socket).memory.filled == 0
        send(socket, 1, POISON)
        send(other, 0)
        told = socket.receive_json()
        assert (told["type"], told["code"], told["seq"]) == ("error", "engine_fault", 1)
        assert not told["fatal"] and told["detail"] == "this frame is poison"
        assert mask(other).seq == 0
        send(socket, 2)
        assert (mask(socket)).memory.filled == 1


def test_a_failure_of_ours_ends_its_stream_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = MaskPacker.pack

    def pack(answers: MaskPacker, one: object) -> bytes:
        if one.frame.pixels[0, 0, 0] == POISON:  # type: ignore[attr-defined]
            raise RuntimeError("a secret")
        return packed(answers, one)  # type: ignore[arg-type]

    monkeypatch.setattr(MaskPacker, "pack", pack)
    with service(tmp_path) as web, stream(web) as other:
        with stream(web) as socket:
            send(socket, 0, POISON)
            told = socket.receive_json()
            assert (told["code"], told["fatal"]) == ("fault", True)
            assert "secret" not in told["detail"]
            ended = socket.receive()
            assert (ended["code"], ended["reason"]) == (1011, "fault")
        send(other, 0)
        assert mask(other).seq == 0


def test_frames_taken_before_a_bad_message_are_still_answered(tmp_path: Path) -> None:
    with service(tmp_path) as web, stream(web) as socket:
        for seq in range(3):
            send(socket, seq)
        socket.send_text("nonsense")
        assert [mask(socket).seq for _ in range(3)] == [0, 1, 2]
        assert socket.receive_json()["code"] == "bad_message"
        assert socket.receive()["code"] == 4400


def test_a_client_that_leaves_frees_its_session(tmp_path: Path) -> None:
    with service(tmp_path) as web:
        with stream(web) as socket:
            send(socket, 0)
        with stream(web) as socket:
            send(socket, 0)
            assert mask(socket).batch == 1
            text = web.get("/metrics").text
    assert 'mastream_sessions{state="idle"} 1.0' in text


def test_replayed_frames_are_never_lost_however_many_come_at_once(tmp_path: Path) -> None:
    go_on = threading.Event()
    steps: list[int] = []

    def hold(frames: Sequence[Pixels]) -> None:
        steps.extend(int(frame[0, 0, 0]) for frame in frames)
        assert go_on.wait(30)

    with service(tmp_path, hold) as web, web.websocket_connect("/v1/stream") as socket:
        socket.send_json(WISH | {"policy": "latest"})
        assert socket.receive_json()["type"] == "ready"
        for seq in range(30):
            header = {"seq": seq, "replay": True}
            socket.send_bytes(protocol.pack(header, bytes([seq]) * (16 * 16 * 3)))
        send(socket, 30, 30)
        go_on.set()
        assert mask(socket).seq == 30
        assert 'result="dropped"' not in web.get("/metrics").text
    assert steps == list(range(31))


def test_where_all_streams_hold_too_much_each_still_gets_all_its_answers(tmp_path: Path) -> None:
    with service(tmp_path, streams=StreamSettings(total_bytes=1)) as web:
        with stream(web) as socket, stream(web) as other:
            for seq in range(10):
                send(socket, seq)
                send(other, seq)
            for one in (socket, other):
                assert [mask(one).seq for _ in range(10)] == list(range(10))
        assert "mastream_streams_held_bytes 0.0" in web.get("/metrics").text


async def talking(
    messages: Iterator[dict[str, object]],
    sent: list[dict[str, object]],
    meanwhile: Callable[[StreamSocket], Awaitable[None]],
) -> None:
    """A socket_of_stream over a socket that always has the next message ready until it ends."""

    async def receive() -> dict[str, object]:
        one = next(messages, None)
        return await asyncio.Future() if one is None else one

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    worker, pool = Worker(lambda: FakeEngine(fake_spec(16, 16))), PicturePool(1)
    await worker.start()
    socket = WebSocket({"type": "websocket"}, receive, send)  # type: ignore[arg-type]
    await socket.accept()
    socket_of_stream = StreamSocket(
        socket, StreamServices(worker, pool, Metrics(), StreamSettings(), ByteBudget())
    )
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(socket_of_stream.run())
        await meanwhile(socket_of_stream)
    await worker.stop()
    pool.close()


async def test_one_that_is_left_before_its_first_step_ends() -> None:
    sent: list[dict[str, object]] = []

    async def leave(socket_of_stream: StreamSocket) -> None:
        await asyncio.sleep(0)
        socket_of_stream.leave()

    await talking(iter([{"type": "websocket.connect"}]), sent, leave)
    assert sent[-1]["code"] == 1012


async def test_a_flood_of_messages_leaves_others_their_turn() -> None:
    def flood() -> Iterator[dict[str, object]]:
        yield {"type": "websocket.connect"}
        for _ in range(200):
            yield {"type": "websocket.receive", "text": '{"type":"ping"}'}
        flooding.append(False)
        yield {"type": "websocket.disconnect", "code": 1000}

    flooding, turns = [True], [0]

    async def count(_: StreamSocket) -> None:
        while flooding[-1]:
            turns[0] += 1
            await asyncio.sleep(0)

    await talking(flood(), [], count)
    assert turns[0] > 100


def test_small_messages_beyond_the_allowance_wait_and_all_are_answered() -> None:
    count = 200
    sent: list[dict[str, object]] = []

    def flood() -> Iterator[dict[str, object]]:
        yield {"type": "websocket.connect"}
        for _ in range(count):
            yield {"type": "websocket.receive", "text": '{"type":"ping"}'}
        yield {"type": "websocket.receive", "text": '{"type":"end"}'}

    async def nothing(_: StreamSocket) -> None: ...

    began = time.monotonic()
    asyncio.run(talking(flood(), sent, nothing))
    assert sum("pong" in str(one.get("text")) for one in sent) == count
    # A little less than one token each.
    assert time.monotonic() - began > 0.9 * (count - MESSAGES_AT_ONCE) / MESSAGES_A_SECOND


def test_a_client_that_is_held_back_is_read_later_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses, asked = iter([0.05, 0.1]), set[str]()

    def wait(_: FairPace, client: str, now: float) -> float:
        assert now > 0
        asked.add(client)
        return next(pauses, 0.0)

    monkeypatch.setattr(FairPace, "wait", wait)
    with service(tmp_path) as web, stream(web) as socket:
        began = time.monotonic()
        for seq in range(4):
            send(socket, seq)
        assert [mask(socket).seq for _ in range(4)] == [0, 1, 2, 3]
        assert time.monotonic() - began >= 0.1
        assert asked == {"testclient"}
        assert "mastream_messages_held_back_total 2.0" in web.get("/metrics").text
