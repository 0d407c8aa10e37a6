"""ClientMessages: the effect of each message of a client, without a socket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

import protocol
from protocol import DropPolicy, ProtocolError
from server.engines.fake import FakeEngine, fake_spec
from server.errors import BadMessage, NoCapacity, TooLarge, Undecodable
from server.metrics import Metrics
from server.settings import StreamSettings
from server.sources.pictures.packets import Packet
from server.streams.client_messages import ClientMessages
from server.streams.ending import EndStream
from server.streams.frame_ledger import FrameLedger
from server.streams.inbox import Inbox
from server.streams.outbox import Outbox
from server.workers.worker import Worker

pytestmark = pytest.mark.anyio

JPEG = b"\xff\xd8\xff and so on"


@dataclass
class Desk:
    """A ClientMessages with all parts that it uses."""

    listener: ClientMessages
    inbox: Inbox
    outbox: Outbox
    ledger: FrameLedger
    worker: Worker
    metrics: Metrics

    async def packets(self) -> list[Packet]:
        self.inbox.close()
        taken = []
        while (packet := await self.inbox.take()) is not None:
            taken.append(packet)
        return taken

    async def received(self) -> list[object]:
        self.outbox.close()
        received = []
        while (item := await self.outbox.take()) is not None:
            received.append(item)
        return received


async def at_desk(
    scene: Callable[[Desk], object],
    max_sessions: int = 1,
    settings: StreamSettings | None = None,
) -> None:
    """Play a scene, a coroutine function, with a worker that serves."""

    metrics, ledger = Metrics(), FrameLedger()
    inbox, outbox = Inbox(ledger=ledger), Outbox(4, ledger=ledger)
    worker = Worker(
        lambda: FakeEngine(fake_spec(16, 16)), max_sessions=max_sessions, metrics=metrics
    )
    await worker.start()
    listener = ClientMessages(worker, settings or StreamSettings(), metrics, inbox, outbox, ledger)
    try:
        await scene(Desk(listener, inbox, outbox, ledger, worker, metrics))  # type: ignore[misc]
    finally:
        listener.close()
        await worker.stop()


def frame(seq: int | None = None, **header: object) -> bytes:
    return protocol.pack(header if seq is None else {"seq": seq} | header, JPEG)


async def test_open_claims_a_session_as_asked_and_is_answered() -> None:
    async def scene(desk: Desk) -> None:
        desk.listener.handle('{"type":"open","policy":"every","budget_ms":250}', 0.0)
        opened = desk.listener.opened
        assert (
            opened and opened.policy is DropPolicy.EVERY and desk.inbox.policy is DropPolicy.EVERY
        )
        assert opened.session.budget == 0.25
        (ready,) = await desk.received()
        assert isinstance(ready, protocol.Ready)
        assert protocol.parse_server(protocol.serialise(ready)).model["name"] == "fake"

    await at_desk(scene)


async def test_a_frame_first_assumes_the_defaults() -> None:
    async def scene(desk: Desk) -> None:
        desk.listener.handle(JPEG, 3.5)
        (ready,) = await desk.received()
        (packet,) = await desk.packets()
        assert isinstance(ready, protocol.Ready)
        assert (packet.data, packet.seq, packet.arrived) == (JPEG, 0, 3.5)
        assert desk.ledger.unanswered == 1

    await at_desk(scene)


async def test_open_may_come_again_until_there_is_a_frame() -> None:
    async def scene(desk: Desk) -> None:
        desk.listener.assume()
        desk.listener.handle('{"type":"open","output":"none"}', 0.0)
        desk.listener.handle(JPEG, 0.0)
        with pytest.raises(BadMessage):
            desk.listener.handle('{"type":"open"}', 0.0)
        assert [type(one) for one in await desk.received()] == [protocol.Ready, protocol.Ready]

    await at_desk(scene)


async def test_frames_are_numbered_and_must_rise() -> None:
    async def scene(desk: Desk) -> None:
        desk.listener.handle('{"type":"open","policy":"every"}', 0.0)
        for message in (frame(), frame(7, pts=0.5), frame()):
            desk.listener.handle(message, 0.0)
        with pytest.raises(EndStream) as left:
            desk.listener.handle(frame(8), 0.0)
        assert left.value.last.close == 4422 and left.value.last.message.seq == 8  # type: ignore[union-attr]
        found = [(packet.seq, packet.pts) for packet in await desk.packets()]
        assert found == [(0, None), (7, 0.5), (8, None)]

    await at_desk(scene)


async def test_no_number_follows_the_last_one_that_every_json_keeps() -> None:
    async def scene(desk: Desk) -> None:
        desk.listener.handle('{"type":"open","policy":"every"}', 0.0)
        desk.listener.handle(frame(2**53 - 1), 0.0)
        for message in (frame(), JPEG):
            with pytest.raises(EndStream) as left:
                desk.listener.handle(message, 0.0)
            last = left.value.last
            assert (last.close, last.reason) == (4422, "out_of_sequence")
            assert isinstance(last.message, protocol.Failure)
            assert last.message.seq is None and last.message.fatal
            assert str(2**53 - 1) in last.message.detail
            assert protocol.parse_server(protocol.serialise(last.message)).seq is None  # type: ignore[union-attr]
        assert [packet.seq for packet in await desk.packets()] == [2**53 - 1]

    await at_desk(scene)


@pytest.mark.parametrize(
    ("width", "height", "limits", "words"),
    [
        (65535, 65535, {}, "side of more than 65500"),
        (65535, 1, {}, "side of more than 65500"),
        (1, 65535, {}, "side of more than 65500"),
        (4097, 4096, {}, "the limit of 16777216 pixels"),
        (4096, 4096, {}, "50331652 bytes and the limit is 33554432"),
        (10, 10, {"max_pixels": 99}, "the limit of 99 pixels"),
        (10, 10, {"max_message_bytes": 303}, "304 bytes and the limit is 303"),
    ],
)
async def test_raw_pictures_that_could_never_be_taken_are_refused_at_open(
    width: int, height: int, limits: dict[str, int], words: str
) -> None:
    async def scene(desk: Desk) -> None:
        wish = protocol.Open(protocol.InputEncoding.RGB24, width, height)
        with pytest.raises(TooLarge, match=words) as caught:
            desk.listener.handle(protocol.serialise(wish), 0.0)
        assert caught.value.close == 4413
        assert desk.listener.opened is None
        assert await desk.received() == []

    await at_desk(scene, settings=StreamSettings(**limits))  # type: ignore[arg-type]


async def test_raw_pictures_that_just_fit_are_opened_and_taken() -> None:
    async def scene(desk: Desk) -> None:
        wish = protocol.Open(protocol.InputEncoding.RGB24, 10, 10)
        desk.listener.handle(protocol.serialise(wish), 0.0)
        desk.listener.handle(bytes(4) + bytes(300), 0.0)
        assert [len(packet.data) for packet in await desk.packets()] == [300]

    await at_desk(scene, settings=StreamSettings(max_pixels=100, max_message_bytes=304))


async def test_reset_falls_on_the_next_frame_alone() -> None:
    async def scene(desk: Desk) -> None:
        desk.listener.handle('{"type":"open","policy":"every"}', 0.0)
        for message in (frame(1), '{"type":"reset"}', frame(2), frame(3)):
            desk.listener.handle(message, 0.0)
        assert [packet.reset for packet in await desk.packets()] == [False, True, False]

    await at_desk(scene)


async def test_a_replaced_packet_is_reported_and_counted() -> None:
    async def scene(desk: Desk) -> None:
        desk.listener.handle(frame(1), 0.0)
        desk.listener.handle(frame(2), 0.0)
        assert protocol.Dropped((1,), protocol.DropCause.NEWER) in await desk.received()
        assert b'cause="newer",result="dropped"} 1.0' in desk.metrics.render()

    await at_desk(scene)


async def test_no_answer_is_owed_for_a_replayed_frame() -> None:
    async def scene(desk: Desk) -> None:
        desk.listener.handle(frame(1, replay=True), 0.0)
        assert desk.ledger.unanswered == 0

    await at_desk(scene)


async def test_a_refused_picture_is_answered_by_its_kind() -> None:
    async def scene(desk: Desk) -> None:
        desk.listener.assume()
        desk.listener.refuse(Packet(b"", 1, 0.0), Undecodable("it is cut off"))
        desk.listener.refuse(Packet(b"", 2, 0.0), TooLarge("it is huge"))
        undecodable = protocol.Dropped((1,), protocol.DropCause.UNDECODABLE, "it is cut off")
        _, first, second = await desk.received()
        assert first == undecodable
        assert isinstance(second, protocol.Failure)
        assert (second.code, second.seq, second.fatal) == ("too_large", 2, False)

    await at_desk(scene)


async def test_ping_end_and_nonsense() -> None:
    async def scene(desk: Desk) -> None:
        desk.listener.handle('{"type":"ping"}', 0.0)
        assert await desk.received() != [] and desk.listener.opened
        with pytest.raises(EndStream) as left:
            desk.listener.handle('{"type":"end"}', 0.0)
        assert left.value.last.close == 1000
        with pytest.raises(ProtocolError):
            desk.listener.handle("nonsense", 0.0)

    await at_desk(scene)


async def test_a_full_worker_is_reported_and_counted() -> None:
    async def scene(desk: Desk) -> None:
        desk.worker.open(Outbox(1), policy=DropPolicy.LATEST, window=1)
        with pytest.raises(NoCapacity):
            desk.listener.assume()
        assert b'mastream_rejected_total{reason="no_capacity"} 1.0' in desk.metrics.render()

    await at_desk(scene)


async def test_json_that_came_as_binary_is_named_and_the_stream_continues() -> None:
    async def scene(desk: Desk) -> None:
        desk.listener.handle(b'{"type":"open","policy":"every"}', 0.0)
        assert desk.listener.opened is None
        desk.listener.handle('{"type":"open","policy":"every"}', 0.0)
        desk.listener.handle(b"{\n}" + b" " * 200, 0.0)
        desk.listener.handle(frame(), 0.0)
        kinds = [(type(one), getattr(one, "fatal", None)) for one in await desk.received()]
        wrong = (protocol.Failure, False)
        assert kinds == [wrong, (protocol.Ready, None), wrong]
        assert [packet.seq for packet in await desk.packets()] == [0]

    await at_desk(scene)


async def test_a_bare_file_of_another_kind_is_a_frame() -> None:
    async def scene(desk: Desk) -> None:
        desk.listener.handle('{"type":"open","policy":"every"}', 0.0)
        desk.listener.handle(b"GIF89a" + bytes(20), 0.0)
        desk.listener.handle(frame(), 0.0)
        assert [packet.seq for packet in await desk.packets()] == [0, 1]

    await at_desk(scene)
