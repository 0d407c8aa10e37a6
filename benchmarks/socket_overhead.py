"""The time that the server adds to one frame beyond decode, step and encode: 16 streams at
30 frames/s with the fake engine. Goal: p99 of at most 5 ms.

    python -m benchmarks.socket_overhead [--streams 16] [--rate 30] [--seconds 15] [--size 160x120]

Pictures and masks are small, so that the codecs, which are not measured, do not fill the cores
that the server, the engine and this client share.

``added`` is the time from the frame's last byte in to the mask's first byte out, as the client sees
it, less the decode, step and encode times in the mask's header. It includes waiting for a thread,
queueing for a step, every change of thread, both sockets and the client itself. ``inside`` is the
part of it that the header reports: wait and queue.
"""

from __future__ import annotations

import asyncio
import gc
import time
from argparse import ArgumentParser
from dataclasses import dataclass

import cv2
import numpy as np
from tabulate import tabulate
from websockets.asyncio.client import ClientConnection, connect

import protocol
from benchmarks.servers import mastream_server

GOAL_MS = 5.0
WARM_UP_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One answered frame, in milliseconds."""

    total: float
    added: float
    inside: float


def measure(
    streams: int = 16, rate: float = 30.0, seconds: float = 15.0, size: tuple[int, int] = (160, 120)
) -> dict[str, float]:
    """Return percentiles in ms of ``added``, ``inside`` and ``total``, and how many frames were
    sent and answered by a mask."""
    width, height = size
    settings = {"engine__fake_width": str(width), "engine__fake_height": str(height)}
    # The client's garbage collections would be counted as the server's delay.
    gc.collect()
    gc.freeze()
    with mastream_server("--engine", "fake", "--max-batch", str(streams), **settings) as url:
        sent, samples = asyncio.run(
            _load(url + "/v1/stream", streams, rate, seconds, _jpeg(width, height))
        )
    found: dict[str, float] = {"sent": sent, "answered": len(samples)}
    for name in ("added", "inside", "total"):
        values = [getattr(sample, name) for sample in samples]
        for percent in (50, 95, 99):
            found[f"{name}_p{percent}"] = float(np.percentile(values, percent))
    return found


async def _load(
    url: str, streams: int, rate: float, seconds: float, frame: bytes
) -> tuple[int, list[Sample]]:
    begin = time.monotonic() + WARM_UP_SECONDS
    starts = [begin + index / (streams * rate) for index in range(streams)]
    found = await asyncio.gather(*(_stream(url, frame, start, rate, seconds) for start in starts))
    samples = [sample for _, some in found for sample in some]
    return sum(sent for sent, _ in found), samples


async def _stream(
    url: str, frame: bytes, start: float, rate: float, seconds: float
) -> tuple[int, list[Sample]]:
    """Send frames at a steady rate; return their number and the samples."""
    sent: dict[int, float] = {}
    async with connect(url, compression=None, max_size=None, ping_interval=None) as socket:
        await socket.send(protocol.serialise(protocol.Open()))
        await socket.recv()
        receiving = asyncio.create_task(_receive(socket, sent))
        for seq in range(round(rate * seconds)):
            await asyncio.sleep(start + seq / rate - time.monotonic())
            message = protocol.pack({"seq": seq}, frame)
            sent[seq] = time.monotonic()
            await socket.send(message)
        await socket.send(protocol.serialise(protocol.End()))
        return len(sent), await receiving


async def _receive(socket: ClientConnection, sent: dict[int, float]) -> list[Sample]:
    samples = []
    async for message in socket:
        now = time.monotonic()
        if isinstance(message, bytes):
            header, _ = protocol.unpack_mask(message, len(message))
            samples.append(_sample(header.ms, (now - sent[header.seq]) * 1000))
    return samples


def _sample(ms: protocol.StageTimes, total: float) -> Sample:
    return Sample(total, total - ms.decode - ms.step - ms.encode, ms.wait + ms.queue)


def _jpeg(width: int, height: int) -> bytes:
    """Return a JPEG about as smooth as a street scene."""
    small = np.random.default_rng(0).integers(0, 256, (height // 16, width // 16, 3), np.uint8)
    pixels = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def _size(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return width, height


def main() -> None:
    parser = ArgumentParser("python -m benchmarks.socket_overhead")
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--rate", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--size", type=_size, default=(160, 120), metavar="WxH")
    found = measure(**vars(parser.parse_args()))
    print(f"{found['answered']:.0f} of {found['sent']:.0f} frames answered by a mask")
    rows = [
        (name, *(found[f"{name}_p{percent}"] for percent in (50, 95, 99)))
        for name in ("added", "inside", "total")
    ]
    print(tabulate(rows, ("ms", "p50", "p95", "p99"), tablefmt="plain", floatfmt=".2f"))
    print(f"goal: added p99 of at most {GOAL_MS:g} ms")


if __name__ == "__main__":
    main()
