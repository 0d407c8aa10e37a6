"""Pulled streams of a soak: added, watched by all kinds of viewers, paused, killed and removed."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

import protocol
from benchmarks import cameras
from benchmarks.soak.tally import Tally

PATIENCE = 30.0
KINDS = {"watched": 6, "paused": 2, "removed early": 3, "read slowly": 1}
"""Each kind of pulled stream, and its relative frequency."""

WISH = '{"type": "open", "output": "raw", "size": "model"}'
LARGE = '{"type": "open", "output": "raw", "overlay": true}'
ENDED = 1000

_names = (f"soak-{number}" for number in count())


@contextmanager
def short_lived() -> Iterator[str]:
    """Yield the URL of a motion JPEG camera for streams that connect and leave."""
    with cameras.over_http() as base:
        yield f"{base}/mjpeg"


async def come_and_go(
    http: httpx.AsyncClient, ws: str, camera: str, dice: random.Random, tally: Tally
) -> None:
    """Add a stream, do one of several things with it, and remove it."""
    kind = dice.choices(list(KINDS), list(KINDS.values()))[0]
    name = next(_names)
    await _add(http, name, camera)
    address = f"{ws}/v1/streams/{name}/masks"
    try:
        if kind == "read slowly":
            await _read_slowly(address, dice)
        elif kind != "removed early":
            await asyncio.gather(*(_view(address, dice, tally) for _ in range(dice.randint(1, 3))))
        if kind == "paused":
            await _pause(http, name)
            await _view(address, dice, tally)
    finally:
        (await http.delete(f"/v1/streams/{name}")).raise_for_status()
    tally.life(f"camera {kind}")


async def dies_again_and_again(
    http: httpx.AsyncClient, ws: str, dice: random.Random, tally: Tally, over: asyncio.Event
) -> None:
    """Watch one RTSP camera that is killed and started again and again."""
    with cameras.mortal_camera(codec="mjpeg") as camera:
        await _add(http, "mortal", camera.url)
        try:
            while not over.is_set():
                await _view(f"{ws}/v1/streams/mortal/masks", dice, tally, fresh=True)
                await asyncio.to_thread(camera.kill)
                await asyncio.sleep(dice.random())
                await asyncio.to_thread(camera.start)
                tally.life("camera killed")
        finally:
            (await http.delete("/v1/streams/mortal")).raise_for_status()


async def left(http: httpx.AsyncClient) -> int:
    """Return how many pulled streams are left."""
    return len((await http.get("/v1/streams")).json()["streams"])


async def _add(http: httpx.AsyncClient, name: str, url: str) -> None:
    (await http.post("/v1/streams", json={"name": name, "url": url})).raise_for_status()


async def _pause(http: httpx.AsyncClient, name: str) -> None:
    for paused in (True, False):
        answer = await http.patch(f"/v1/streams/{name}", json={"paused": paused})
        answer.raise_for_status()


async def _view(address: str, dice: random.Random, tally: Tally, fresh: bool = False) -> None:
    """Read some masks, whose numbers must rise; leave in one of two ways.

    If they are to be ``fresh``, the newest mask that a viewer gets at once does not count.
    """
    wanted, seen = dice.randint(1, 20) + fresh, -1
    async with asyncio.timeout(PATIENCE), connect(address, compression=None) as socket:
        await socket.send(WISH)
        while wanted:
            message = await socket.recv()
            if isinstance(message, str):
                continue
            header, _ = protocol.unpack_mask(message, len(message))
            if header.seq <= seen:
                tally.frames["foreign"] += 1
            seen, wanted = header.seq, wanted - 1
            tally.frames["viewed"] += 1
        if dice.random() < 0.5:
            socket.transport.abort()
            return
        await socket.send(json.dumps({"type": "end"}))
        with suppress(ConnectionClosed):
            while True:
                await socket.recv()
    if socket.close_code != ENDED:
        tally.trouble("viewer", ValueError(f"it was closed with {socket.close_code}"))


async def _read_slowly(address: str, dice: random.Random) -> None:
    async with connect(address, compression=None, max_size=None, max_queue=1) as socket:
        await socket.send(LARGE)
        await asyncio.sleep(4 * dice.random())
        socket.transport.abort()
