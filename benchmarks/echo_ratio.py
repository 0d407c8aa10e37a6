"""Frames per second of mastream with the fake engine, divided by messages per second of a bare
uvicorn echo that receives the same bytes, in one run. Goal: at least 0.5.

    python -m benchmarks.echo_ratio [--streams 4] [--seconds 10] [--frame rgb24|jpeg]

The two servers are measured in turn, in rounds; each client keeps the same number of messages
unanswered, and the fake engine takes no time itself.
"""

from __future__ import annotations

import asyncio
import time
from argparse import ArgumentParser
from statistics import median

import numpy as np
from tabulate import tabulate
from websockets.asyncio.client import ClientConnection, connect

import protocol
from benchmarks.servers import echo_server, mastream_server
from protocol import DropPolicy, InputEncoding, MaskEncoding, MaskSize

HEIGHT, WIDTH = 352, 480
GOAL = 0.5
IN_FLIGHT = 8


def measure(
    streams: int = 4, seconds: float = 4.0, rounds: int = 3, output: str = "raw"
) -> dict[str, float]:
    """Return {"echo": messages/s, "served": frames/s, "ratio": median of served/echo}."""
    with echo_server() as echo, mastream_server("--engine", "fake") as served:
        pairs = [
            (
                asyncio.run(_rate(echo, None, streams, seconds)),
                asyncio.run(_rate(served + "/v1/stream", _request(output), streams, seconds)),
            )
            for _ in range(rounds)
        ]
    return {
        "echo": median(echo for echo, _ in pairs),
        "served": median(served for _, served in pairs),
        "ratio": median(served / echo for echo, served in pairs),
    }


def _request(output: str) -> protocol.Open:
    return protocol.Open(
        input=InputEncoding.RGB24,
        width=WIDTH,
        height=HEIGHT,
        output=MaskEncoding(output),
        size=MaskSize.MODEL,
        policy=DropPolicy.EVERY,
    )


async def _rate(url: str, request: protocol.Open | None, streams: int, seconds: float) -> float:
    """Return answers per second of all streams together."""
    until = time.monotonic() + seconds
    began = time.monotonic()
    counts = await asyncio.gather(*(_stream(url, request, until) for _ in range(streams)))
    return sum(counts) / (time.monotonic() - began)


async def _stream(url: str, request: protocol.Open | None, until: float) -> int:
    """Keep IN_FLIGHT frames unanswered; return how many were answered."""
    frame = protocol.pack({}, _picture())
    answers = 0
    async with connect(url, compression=None, max_size=None, ping_interval=None) as socket:
        await _open(socket, request)
        for _ in range(IN_FLIGHT):
            await socket.send(frame)
        while time.monotonic() < until:
            await socket.recv()
            answers += 1
            await socket.send(frame)
    return answers


async def _open(socket: ClientConnection, request: protocol.Open | None) -> None:
    if request:
        await socket.send(protocol.serialise(request))
        await socket.recv()


def _picture() -> bytes:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8).tobytes()


def main() -> None:
    parser = ArgumentParser("python -m benchmarks.echo_ratio")
    parser.add_argument("--streams", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", choices=[str(one) for one in MaskEncoding], default="raw")
    found = measure(**vars(parser.parse_args()))
    rows = [
        ("bare echo", f"{found['echo']:.0f}", f"messages/s of {HEIGHT * WIDTH * 3} bytes"),
        ("served", f"{found['served']:.0f}", "frames/s of the same size, fake engine"),
        ("ratio", f"{found['ratio']:.2f}", f"(goal: at least {GOAL})"),
    ]
    print(tabulate(rows, tablefmt="plain", disable_numparse=True))


if __name__ == "__main__":
    main()
