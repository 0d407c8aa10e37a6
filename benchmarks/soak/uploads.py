"""Uploads that succeed, break off half-way, or are cancelled."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import httpx
import numpy as np

from benchmarks.soak.tally import Tally

FRAMES = 12
ENDED = ("succeeded", "failed", "cancelled")


def clip(width: int = 320, height: int = 240, frames: int = FRAMES) -> bytes:
    """Return a small H.264 video of moving bars."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        with av.open(path, "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            columns = np.arange(width, dtype=np.uint16)
            for number in range(frames):
                row = (columns * 2 + 9 * number) % 256
                picture = np.broadcast_to(row[None, :, None], (height, width, 3)).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode(None))
        return path.read_bytes()


async def upload(http: httpx.AsyncClient, video: bytes, dice: random.Random, tally: Tally) -> None:
    """Upload one video in one of the three ways."""
    kind = dice.choices(("succeeds", "breaks off", "is cancelled"), (6, 3, 2))[0]
    if kind == "breaks off":
        await _break_off(http, video, dice)
    else:
        await _follow(http, video, tally, cancelled=kind == "is cancelled")
    tally.life(f"upload {kind}")


async def _follow(http: httpx.AsyncClient, video: bytes, tally: Tally, *, cancelled: bool) -> None:
    answer = await http.post("/v1/videos", content=video)
    answer.raise_for_status()
    link = answer.json()["links"]["self"]
    if cancelled and await _is_removed(http, link):
        return
    state = await _ended(http, link)
    if state != "succeeded" and not cancelled:
        tally.trouble("upload", ValueError(f"it {state}"))
    (await http.delete(link)).raise_for_status()


async def _is_removed(http: httpx.AsyncClient, link: str) -> bool:
    """Cancel a video; return whether it had already ended and was therefore removed instead."""
    (await http.delete(link)).raise_for_status()
    return (await http.get(link)).status_code == httpx.codes.NOT_FOUND


async def _ended(http: httpx.AsyncClient, link: str) -> str:
    while True:
        state: str = (await http.get(link)).raise_for_status().json()["state"]
        if state in ENDED:
            return state
        await asyncio.sleep(0.1)


async def _break_off(http: httpx.AsyncClient, video: bytes, dice: random.Random) -> None:
    """Announce a whole video, send a part of it and disconnect."""
    address = httpx.URL(str(http.base_url))
    _, writer = await asyncio.open_connection(address.host, address.port)
    head = f"POST /v1/videos HTTP/1.1\r\nHost: soak\r\nContent-Length: {len(video)}\r\n\r\n"
    writer.write(head.encode() + video[: dice.randrange(len(video))])
    await writer.drain()
    writer.transport.abort()
