"""``mastream stream``: send a video or camera frame by frame, and show its state meanwhile."""

from __future__ import annotations

import asyncio
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from clients.python.client import connect
from clients.python.drawing import OverlayVideo, check_video
from clients.python.footage import Newest, Paced, frames_of, is_live
from clients.python.ledger import Ledger
from clients.python.mask import Mask
from clients.python.measures import Outcome, Times
from clients.python.meter import Meter
from clients.python.pictures import Frame
from clients.python.reconnecting import Event, Lost
from clients.python.stream import Stream
from clients.python.tables import outcome_table, times_table
from protocol import DropPolicy, Failure, MemoryState

SHOW_SECONDS = 0.25

_MEMORY = {
    MemoryState.INTACT: "the stream's memory is intact",
    MemoryState.REBUILT: "the stream's memory was rebuilt",
    MemoryState.COLD: "the stream's memory is lost, so it begins empty",
}

Show = Callable[[str], None]


@dataclass(slots=True)
class Tally:
    """The results of the stream so far; filled while it runs."""

    ledger: Ledger = field(default_factory=Ledger)
    times: Times = field(default_factory=Times)
    began: float = 0.0
    failure: str = ""

    def note_failure(self, failure: Failure) -> None:
        self.failure = failure.detail


def run(args: Namespace, _rest: list[str]) -> int:
    """Stream ``args.source`` and return the exit code. Print the summary also if interrupted."""
    if args.overlay:
        check_video(args.overlay)
    tally = Tally()
    try:
        asyncio.run(_stream(args, tally))
    finally:
        if tally.ledger.sent:
            _summarise(tally, time.monotonic())
    return 0 if tally.ledger.answered_once else 1


async def _stream(args: Namespace, tally: Tally) -> None:
    async with AsyncExitStack() as stack:
        stream = await stack.enter_async_context(_connected(args, tally))
        show = stack.enter_context(_status(Console(stderr=True)))
        overlay = _overlay(args, stack, stream)
        tally.ledger, tally.began = stream.ledger, time.monotonic()
        frames, meter = _frames(args), Meter()
        async for mask in stream.segment(frames):
            now = time.monotonic()
            tally.times.add(mask)
            meter.add(now, mask.round_trip)
            show(meter.line(now, stream.ledger, getattr(frames, "skipped", 0)))
            if overlay is not None:
                await asyncio.to_thread(_draw, overlay, mask)
    if tally.failure:
        print(f"mastream: Some frames failed: {tally.failure}", file=sys.stderr)


def _frames(args: Namespace) -> Iterable[Frame]:
    """Return the newest frames of a live source, or a file's frames at its pace.

    Under ``every`` without ``--rate``, a file is sent as fast as possible.
    """
    frames = frames_of(args.source)
    if is_live(args.source):
        return Newest(frames)
    unhurried = args.policy == DropPolicy.EVERY and args.rate is None
    return frames if unhurried else Paced(frames, args.rate)


def _connected(args: Namespace, tally: Tally) -> AbstractAsyncContextManager[Stream]:
    return connect(
        args.url,
        model=args.model,
        output=args.output,
        size=args.size,
        policy=args.policy,
        budget_ms=args.budget_ms,
        decode=args.overlay is not None,
        on_failure=tally.note_failure,
        on_event=_show_event,
        resume=args.resume,
    )


def _show_event(event: Event) -> None:
    """Show a line, also while the status line is shown."""
    if isinstance(event, Lost):
        words = f"{event.error} Connecting again in {event.retry_in:.1f} s."
    else:
        words = f"Resumed after {event.after:.1f} s; {_MEMORY[event.memory]}."
    print(f"mastream: {words}", file=sys.stderr)


def _overlay(args: Namespace, stack: AsyncExitStack, stream: Stream) -> OverlayVideo | None:
    if args.overlay is None:
        return None
    return stack.enter_context(OverlayVideo(args.overlay, stream.ready.palette))


def _draw(overlay: OverlayVideo, mask: Mask) -> None:
    assert isinstance(mask.frame.picture, np.ndarray), "footage yields arrays"
    assert mask.labels is not None, "an overlay requests masks"
    overlay.write(mask.frame.picture, mask.labels, mask.frame.pts)


@contextmanager
def _status(console: Console) -> Iterator[Show]:
    """Show an updated status line on a terminal; show nothing elsewhere."""
    if not console.is_terminal:
        yield lambda _: None
        return
    with Live(Text(), console=console, auto_refresh=False, transient=True) as live:
        shown = 0.0

        def show(line: str) -> None:
            nonlocal shown
            if time.monotonic() - shown >= SHOW_SECONDS:
                shown = time.monotonic()
                live.update(Text(line), refresh=True)

        yield show


def _summarise(tally: Tally, now: float) -> None:
    console, elapsed = Console(), now - tally.began
    masks = tally.ledger.masks
    console.print(f"{masks} masks in {elapsed:.1f} s: {masks / elapsed:.1f} frames/s")
    console.print(outcome_table(Outcome.of([tally.ledger])))
    if masks:
        console.print(times_table(tally.times))
