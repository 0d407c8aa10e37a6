"""Frames per second of the served model, divided by those of a bare ``session.run`` loop on the
same file, in one run. Goal: at least 0.95, for one stream under ``every`` and for four.

    python -m benchmarks.served_ratio [--model FILE] [--streams 1 4] [--rounds 5]

The bare loop feeds one stream's memory back and does nothing else: no decoding, no masks, no
sockets. Both run alternately, so that a machine that slows down affects both.
"""

from __future__ import annotations

import asyncio
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import cv2
import numpy as np
from tabulate import tabulate
from websockets.asyncio.client import connect

import protocol
from benchmarks.servers import mastream_server
from export.runners import Runner, blank
from models.spec import ModelSpec
from protocol import DropPolicy
from server.engines.onnx_graph import read_spec, shipped_model

GOAL = 0.95
IN_FLIGHT = 4


def measure(
    model: Path | None = None, streams: int = 1, frames: int = 24, rounds: int = 5
) -> dict[str, float]:
    """Return {"bare": frames/s, "served": frames/s, "ratio": median of served/bare}."""
    file = model or shipped_model()
    spec = read_spec(file)
    bare, picture = Runner(file, spec), _jpeg(spec.height, spec.width)
    with mastream_server("--model", str(file), "--max-batch", str(streams)) as url:
        asyncio.run(_served(url, picture, streams, frames))
        pairs = [
            (
                _bare(bare, spec, streams, frames),
                asyncio.run(_served(url, picture, streams, frames)),
            )
            for _ in range(rounds)
        ]
    return {
        "bare": median(bare for bare, _ in pairs),
        "served": median(served for _, served in pairs),
        "ratio": median(served / bare for bare, served in pairs),
    }


def _bare(runner: Runner, spec: ModelSpec, streams: int, frames: int) -> float:
    """Return frames/s of steps of ``streams`` frames, whose memories are fed straight back."""
    shape = (streams, spec.height, spec.width, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    memories = blank(spec, streams)
    steps = max(1, frames // streams)
    began = time.perf_counter()
    for _ in range(steps):
        _, *memories = runner.step([pixels, *memories])
    return steps * streams / (time.perf_counter() - began)


async def _served(url: str, picture: bytes, streams: int, frames: int) -> float:
    """Return frames/s of all streams together, each keeping IN_FLIGHT frames unanswered."""
    each = max(1, frames // streams)
    began = time.perf_counter()
    await asyncio.gather(*(_stream(url + "/v1/stream", picture, each) for _ in range(streams)))
    return each * streams / (time.perf_counter() - began)


async def _stream(url: str, picture: bytes, frames: int) -> None:
    request = protocol.serialise(protocol.Open(policy=DropPolicy.EVERY))
    async with connect(url, compression=None, max_size=None, ping_interval=None) as socket:
        await socket.send(request)
        await socket.recv()
        for _ in range(min(IN_FLIGHT, frames)):
            await socket.send(picture)
        for answered in range(frames):
            assert isinstance(await socket.recv(), bytes), "every frame is answered by a mask"
            if answered + IN_FLIGHT < frames:
                await socket.send(picture)


def _jpeg(height: int, width: int) -> bytes:
    small = np.random.default_rng(0).integers(0, 256, (height // 16, width // 16, 3), np.uint8)
    pixels = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def table(found: Sequence[tuple[int, dict[str, float]]]) -> str:
    """Return one line for each number of streams."""
    heads = ("streams", "bare/s", "served/s", "ratio", "goal")
    rows = [(streams, row["bare"], row["served"], row["ratio"], GOAL) for streams, row in found]
    return tabulate(rows, heads, tablefmt="plain", floatfmt=("", ".2f", ".2f", ".3f", "g"))


def main() -> None:
    parser = ArgumentParser("python -m benchmarks.served_ratio")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--frames", type=int, default=24, help="per round")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    found = [(n, measure(given.model, n, given.frames, given.rounds)) for n in given.streams]
    print(table(found))


if __name__ == "__main__":
    main()
