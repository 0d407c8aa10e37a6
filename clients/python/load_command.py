"""``mastream load``: run a plan and show its result."""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from clients.python.footage import first_frames
from clients.python.load import Load, LoadResult, Plan
from clients.python.load_progress import SHOW_SECONDS, progress_of
from clients.python.outputs import check_file, write_file
from clients.python.pattern import pattern_pictures
from clients.python.pictures import encode_picture
from clients.python.tables import load_tables
from protocol import DropPolicy, InputEncoding, MaskEncoding, MaskSize

PATTERN_PICTURES = 30
VIDEO_PICTURES = 120
STANDARD_OUTPUT = Path("-")


def run(args: Namespace, _rest: list[str]) -> int:
    """Load ``args.url``; return 1 if a stream failed or a frame was not answered exactly once.

    If interrupted, show what has been measured so far.
    """
    if args.json is not None and args.json != STANDARD_OUTPUT:
        check_file(args.json)
    load = Load(_plan(args))
    try:
        result = asyncio.run(_watched(load))
    except KeyboardInterrupt:
        if found := load.so_far():
            _show(args.json, found)
        raise
    _show(args.json, result)
    if not result.passed:
        print(f"mastream: {_verdict(result)}", file=sys.stderr)
    return 0 if result.passed else 1


async def _watched(load: Load) -> LoadResult:
    with progress_of(load) as show:
        shown = asyncio.create_task(_keep_showing(show))
        try:
            return await load.run()
        finally:
            shown.cancel()


async def _keep_showing(show: Callable[[], None]) -> None:
    while True:
        show()
        await asyncio.sleep(SHOW_SECONDS)


def _plan(args: Namespace) -> Plan:
    return Plan(
        url=args.url,
        streams=args.streams,
        rate=args.rate,
        seconds=args.seconds,
        pictures=_pictures(args),
        policy=DropPolicy(args.policy),
        output=MaskEncoding(args.output),
        size=MaskSize(args.size),
        budget_ms=args.budget_ms,
        model=args.model,
    )


def _pictures(args: Namespace) -> list[bytes]:
    if args.video is None:
        width, height = args.picture
        return pattern_pictures(height, width, PATTERN_PICTURES)
    frames = first_frames(args.video, VIDEO_PICTURES)
    return [encode_picture(frame.picture, InputEncoding.JPEG) for frame in frames]


def _show(target: Path | None, result: LoadResult) -> None:
    """Print the tables before writing the file: they are shown even if the file cannot be
    written."""
    text = json.dumps(result.to_dict(), indent=2)
    if target == STANDARD_OUTPUT:
        print(text)
        return
    Console().print(load_tables(result))
    if target is not None:
        write_file(target, text + "\n")


def _verdict(result: LoadResult) -> str:
    if result.errors:
        first = result.errors[0].rstrip(".")
        return f"{len(result.errors)} of {result.plan.streams} streams failed: {first}."
    outcome = result.outcome
    return f"{outcome.unanswered} frames were not answered, {outcome.doubled} answered twice."
