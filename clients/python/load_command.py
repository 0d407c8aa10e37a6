"""``mastream load``: run a plan, show what it came to."""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import Namespace
from pathlib import Path

from rich.console import Console

from clients.python.footage import first_frames
from clients.python.load import LoadResult, Plan, run_load
from clients.python.pattern import pattern_pictures
from clients.python.pictures import encode_picture
from clients.python.tables import load_tables
from protocol import DropPolicy, InputEncoding, MaskEncoding, MaskSize

PATTERN_PICTURES = 30
VIDEO_PICTURES = 120


def run(args: Namespace, _rest: list[str]) -> int:
    """Load ``args.url``; 1 where a stream failed or a frame was not answered exactly once."""
    result = asyncio.run(run_load(_plan(args)))
    _write_json(args.json, result)
    if args.json != Path("-"):
        Console().print(load_tables(result))
    if not result.passed:
        print(f"mastream: {_verdict(result)}", file=sys.stderr)
    return 0 if result.passed else 1


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


def _write_json(target: Path | None, result: LoadResult) -> None:
    text = json.dumps(result.to_dict(), indent=2)
    if target == Path("-"):
        print(text)
    elif target is not None:
        target.write_text(text + "\n")


def _verdict(result: LoadResult) -> str:
    if result.errors:
        return f"{len(result.errors)} of {result.plan.streams} streams failed: {result.errors[0]}"
    outcome = result.outcome
    return f"{outcome.unanswered} frames unanswered, {outcome.doubled} answered twice"
