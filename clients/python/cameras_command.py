"""``mastream cameras``: add, list, watch, pause, resume, record and remove a server's cameras."""

from __future__ import annotations

import asyncio
import sys
import time
from argparse import Namespace
from collections.abc import Awaitable, Callable
from contextlib import aclosing, nullcontext, suppress
from dataclasses import dataclass

import cv2
import numpy as np
from rich.console import Console
from rich.live import Live

from clients.python.camera import Camera
from clients.python.camera_table import camera_line, cameras_table, masks_line
from clients.python.cameras import Cameras
from clients.python.drawing import OverlayVideo, check_video
from clients.python.errors import ClientError, NotFound, NotOurs
from clients.python.mask import Mask
from protocol import MaskEncoding

REFRESH_SECONDS = 1.0
PLAIN_WIDTH = 200
"""Columns of a table that is not written to a terminal."""


def run(args: Namespace, _rest: list[str]) -> int:
    """Do ``args.action`` and return the exit code."""
    if args.action == "watch" and args.overlay:
        check_video(args.overlay)
    if args.action == "add" and args.source == "-":
        args.source = sys.stdin.readline().strip()
    asyncio.run(_act(args))
    return 0


async def _act(args: Namespace) -> None:
    async with Cameras(args.url) as cameras:
        await _ACTIONS[args.action](cameras, args)


async def _add(cameras: Cameras, args: Namespace) -> None:
    if args.replace:
        with suppress(NotFound):
            await cameras.remove(args.name)
    camera = await cameras.add(
        args.name,
        args.source,
        policy=args.policy,
        budget_ms=args.budget_ms,
        max_fps=args.max_fps,
        loop=args.loop,
        max_gap=args.max_gap,
        on_gap=args.on_gap,
        on_connect=args.on_connect,
        on_size=args.on_size,
        on_cut=args.on_cut,
        publish=args.publish,
        paused=args.paused,
    )
    print(camera_line(camera))


async def _list(cameras: Cameras, args: Namespace) -> None:
    console = Console()
    if not console.is_terminal:
        console = Console(width=PLAIN_WIDTH)
    if not args.watch:
        _print(console, await cameras.list())
    elif console.is_terminal:
        await _refresh(console, cameras)
    else:
        while True:
            _print(console, await cameras.list())
            await asyncio.sleep(REFRESH_SECONDS)


def _print(console: Console, found: list[Camera]) -> None:
    if found:
        console.print(cameras_table(found))
    else:
        print("There are no cameras; add one with mastream cameras add NAME ADDRESS.", flush=True)


async def _refresh(console: Console, cameras: Cameras) -> None:
    """Refresh the list on a terminal until interrupted."""
    with Live(console=console, auto_refresh=False) as live:
        while True:
            live.update(cameras_table(await cameras.list()), refresh=True)
            await asyncio.sleep(REFRESH_SECONDS)


async def _pause(cameras: Cameras, args: Namespace) -> None:
    print(camera_line(await cameras.pause(args.name)))


async def _resume(cameras: Cameras, args: Namespace) -> None:
    print(camera_line(await cameras.resume(args.name)))


async def _record(cameras: Cameras, args: Namespace) -> None:
    before = await cameras.get(args.name)
    camera = await cameras.record(args.name, not args.stop)
    if not args.stop:
        print(f"{args.name} is being recorded as {camera.recording}.")
    elif before.recording:
        print(f"{args.name} was recorded: GET /v1/recordings/{before.recording} is the file.")
    else:
        print(f"{args.name} was not being recorded.")


async def _remove(cameras: Cameras, args: Namespace) -> None:
    await cameras.remove(args.name)
    print(f"{args.name} was removed.")


@dataclass(slots=True)
class _Seen:
    """The masks since the last line; ``last`` is the last mask ever, ``total`` counts all."""

    masks: int = 0
    lost: int = 0
    total: int = 0
    last: Mask | None = None

    def add(self, mask: Mask) -> None:
        if self.last is not None:
            self.lost += max(0, mask.seq - self.last.seq - 1)
        self.masks += 1
        self.total += 1
        self.last = mask

    def clear(self) -> None:
        self.masks = self.lost = 0


async def _watch(cameras: Cameras, args: Namespace) -> None:
    """Print the masks that arrive until the camera is removed, or for ``args.seconds``."""
    seen = _Seen()
    video = OverlayVideo(args.overlay, ()) if args.overlay else None
    with video or nullcontext():
        printer = asyncio.create_task(_print_lines(cameras, args.name, seen))
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(args.seconds):
                    await _receive(cameras, args.name, seen, video)
        finally:
            printer.cancel()
            await asyncio.wait([printer])
    if not seen.total:
        raise ClientError(f"No mask of {args.name} arrived; mastream cameras list says why.")
    print(f"{seen.total} masks" + (f" -> {args.overlay}" if video else ""))


async def _receive(cameras: Cameras, name: str, seen: _Seen, video: OverlayVideo | None) -> None:
    watched = cameras.watch(name, output=MaskEncoding.NONE, overlay=video is not None)
    async with aclosing(watched) as masks:
        async for mask in masks:
            seen.add(mask)
            if video is not None:
                await asyncio.to_thread(_draw, video, mask)


def _draw(video: OverlayVideo, mask: Mask) -> None:
    painted = cv2.imdecode(np.frombuffer(mask.overlay, np.uint8), cv2.IMREAD_COLOR_RGB)
    if painted is None:
        raise NotOurs("The server's overlay is not a JPEG.")
    video.write_painted(np.asarray(painted, np.uint8), mask.header.pts)


async def _print_lines(cameras: Cameras, name: str, seen: _Seen) -> None:
    """Print a line per second: what arrived, or else why nothing did."""
    before = time.monotonic()
    while True:
        await asyncio.sleep(REFRESH_SECONDS)
        now = time.monotonic()
        print(await _line(cameras, name, seen, now - before), flush=True)
        seen.clear()
        before = now


async def _line(cameras: Cameras, name: str, seen: _Seen, seconds: float) -> str:
    if seen.masks and seen.last is not None:
        return masks_line(seen.masks, seconds, seen.lost, seen.last)
    try:
        return camera_line(await cameras.get(name))
    except ClientError as error:
        return str(error)


_ACTIONS: dict[str, Callable[[Cameras, Namespace], Awaitable[None]]] = {
    "add": _add,
    "list": _list,
    "watch": _watch,
    "pause": _pause,
    "resume": _resume,
    "record": _record,
    "remove": _remove,
}
