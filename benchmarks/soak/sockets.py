"""Short streams: some check every mask to the end, others end in every other way."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import cv2
import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import protocol
from benchmarks.soak.server import DEADLY, HEIGHT, WIDTH
from benchmarks.soak.tally import Answers, Tally
from protocol import DropPolicy, InputEncoding, MaskEncoding, MaskSize, MemoryState
from server.engines.fake import FakeEngine, fake_spec

Labels = NDArray[np.uint8]

_OPEN = protocol.Open(
    input=InputEncoding.RGB24,
    width=WIDTH,
    height=HEIGHT,
    output=MaskEncoding.RAW,
    size=MaskSize.MODEL,
    policy=DropPolicy.EVERY,
)
RAW = protocol.serialise(_OPEN)
LARGE = cv2.imencode(".jpg", np.full((1080, 1920, 3), 90, np.uint8))[1].tobytes()
NONSENSE = ("{", '{"type": "nobody"}', b"\xff" * 20, b"", '{"type": "open", "size": 7}')
TOO_SLOW = 4408
PATIENCE = 30.0
SLOW_FRAMES = 400

Life = Callable[[str, random.Random, Tally], Awaitable[None]]


async def whole(url: str, dice: random.Random, tally: Tally) -> None:
    """Send some pictures and compare every mask with that of a stream on its own."""
    frames = _frames(dice, dice.randint(1, 12))
    expected = iter(_unbroken(frames))
    answers = Answers()
    async with _connected(url) as socket:
        await socket.send(RAW)
        for seq, frame in enumerate(frames):
            await socket.send(protocol.pack({"seq": seq}, frame.tobytes()))
            answers.sent.append(seq)
        await socket.send(protocol.serialise(protocol.End()))
        async for message in socket:
            seqs, mask = _read(message, tally)
            answers.answered.update(seqs)
            if mask is not None and not np.array_equal(mask, next(expected)):
                tally.frames["foreign"] += 1
    answers.close(tally, complete=True)


async def resumes(url: str, dice: random.Random, tally: Tally) -> None:
    """Lose the connection again and again, resume, and compare every mask with that of a stream on
    its own."""
    frames = _frames(dice, dice.randint(2, 12))
    expected, token = _unbroken(frames), None
    missing = list(range(len(frames)))
    while missing:
        async with _connected(url) as socket:
            await socket.send(protocol.serialise(_OPEN.resuming(token)))
            ready = protocol.parse_server(await socket.recv())
            if not isinstance(ready, protocol.Ready):
                raise RuntimeError(f"Instead of ready came {ready}.")
            if token is not None and ready.memory is MemoryState.COLD:
                raise RuntimeError("The session was not kept.")
            token = ready.resume
            for seq in missing[: ready.window]:
                await socket.send(protocol.pack({"seq": seq}, frames[seq].tobytes()))
            for _ in range(dice.randint(1, len(missing[: ready.window]))):
                (seq,), mask = _read(await socket.recv(), tally)
                missing.remove(seq)
                if mask is None or not np.array_equal(mask, expected[seq]):
                    tally.frames["foreign"] += 1
            if missing:
                socket.transport.abort()


async def deadly(url: str, dice: random.Random, tally: Tally) -> None:
    """Send a picture that kills the engine, also at the second try; expect an error as answer."""
    answers = Answers()
    async with _connected(url) as socket:
        await socket.send(RAW)
        await socket.send(protocol.pack({"seq": 1}, DEADLY.tobytes()))
        answers.sent.append(1)
        await socket.send(protocol.serialise(protocol.End()))
        async for message in socket:
            answers.answered.update(_read(message, tally)[0])
    answers.close(tally, complete=True)
    del dice


async def slow(url: str, dice: random.Random, tally: Tally) -> None:
    """Send large pictures and read nothing, until the server closes the stream."""
    answers = Answers()
    async with _connected(url, max_queue=1) as socket:
        with suppress(ConnectionClosed, TimeoutError):
            await socket.send('{"type": "open", "output": "raw", "overlay": true}')
            async with asyncio.timeout(PATIENCE):
                for seq in range(SLOW_FRAMES):
                    await socket.send(protocol.pack({"seq": seq}, LARGE))
                    answers.sent.append(seq)
                    await asyncio.sleep(0.01 * dice.random())
        socket.transport.abort()
    answers.close(tally, complete=False)


async def aborts(url: str, dice: random.Random, tally: Tally) -> None:
    """Send some pictures and cut the connection."""
    answers = Answers()
    async with _connected(url) as socket:
        for seq, frame in enumerate(_frames(dice, dice.randint(0, 8))):
            picture = cv2.imencode(".jpg", frame)[1].tobytes()
            await socket.send(protocol.pack({"seq": seq}, picture))
            answers.sent.append(seq)
        await asyncio.sleep(0.05 * dice.random())
        socket.transport.abort()
    answers.close(tally, complete=False)


async def closes(url: str, dice: random.Random, tally: Tally) -> None:
    """Close properly while frames are unanswered."""
    async with _connected(url) as socket:
        await socket.send(RAW)
        for seq, frame in enumerate(_frames(dice, dice.randint(0, 8))):
            await socket.send(protocol.pack({"seq": seq}, frame.tobytes()))
    del tally


async def sends_nonsense(url: str, dice: random.Random, tally: Tally) -> None:
    """Send an invalid message, and expect an error as answer."""
    nonsense = dice.choice(NONSENSE)
    answers = []
    async with _connected(url) as socket:
        await socket.send(nonsense)
        await socket.send(protocol.serialise(protocol.End()))
        with suppress(ConnectionClosed):
            while True:
                answers.append(await socket.recv())
    if not any('"error"' in str(one) or '"dropped"' in str(one) for one in answers):
        tally.trouble("nonsense", ValueError(f"{nonsense!r} was answered by {answers}"))


async def sends_nothing(url: str, dice: random.Random, tally: Tally) -> None:
    """Connect and send nothing, until the server closes."""
    async with _connected(url) as socket:
        with suppress(ConnectionClosed):
            while True:
                await socket.recv()
        if socket.close_code != TOO_SLOW:
            tally.trouble("silent", ValueError(f"it was closed with {socket.close_code}"))
    del dice


KINDS: dict[str, tuple[Life, float]] = {
    "whole": (whole, 10),
    "resumes": (resumes, 3),
    "aborts": (aborts, 5),
    "closes": (closes, 3),
    "nonsense": (sends_nonsense, 3),
    "silent": (sends_nothing, 0.2),
    "slow": (slow, 0.05),
    "deadly": (deadly, 0.3),
}
"""Each kind of stream, and its relative frequency."""


def _connected(url: str, max_queue: int | None = None) -> connect:
    return connect(
        f"{url}/v1/stream",
        compression=None,
        max_size=None,
        max_queue=max_queue,
        ping_interval=None,
        open_timeout=PATIENCE,
    )


def _frames(dice: random.Random, count: int) -> list[Labels]:
    drawn = np.random.default_rng(dice.getrandbits(32))
    return [drawn.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8) for _ in range(count)]


def _unbroken(frames: list[Labels]) -> list[Labels]:
    """Return the masks of these frames in a stream on its own."""
    engine, masks = FakeEngine(fake_spec(HEIGHT, WIDTH)), []
    memory = engine.blank()
    for frame in frames:
        (labels,), (memory,) = engine.step([frame], [memory])
        masks.append(labels)
    return masks


def _read(message: str | bytes, tally: Tally) -> tuple[tuple[int, ...], Labels | None]:
    """Return the seqs that a message answers, and the mask if it is one."""
    if isinstance(message, bytes):
        header, payload = protocol.unpack(message, len(message))
        tally.frames["masks"] += 1
        return (header["seq"],), np.frombuffer(payload, np.uint8).reshape(HEIGHT, WIDTH)
    fields = json.loads(message)
    if fields["type"] == "dropped":
        tally.frames["dropped"] += len(fields["seqs"])
        return tuple(fields["seqs"]), None
    if fields["type"] == "error" and fields.get("seq") is not None:
        tally.frames["failed"] += 1
        return (fields["seq"],), None
    return (), None
