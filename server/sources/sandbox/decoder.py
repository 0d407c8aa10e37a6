"""Decoding a file or a camera in a separate process, which can access nothing but its bytes.

A fault in a decoder may let a video run its own code. In the child such code can compute and
answer, but cannot open files, connect, start programs or take more memory than it was given.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import ExitStack
from pathlib import Path

from server.dialling.passage import passage
from server.frame import Frame
from server.sources.decoding import Counts, Reading
from server.sources.open_file import opened
from server.sources.sandbox.messages import (
    NONSENSE,
    Input,
    error_of,
    frame_of,
    shapes_of,
    take_counts,
)
from server.sources.sandbox.process import Decoder, Sandbox, nonsense
from server.sources.sandbox.seal import Seal

__all__ = ["Sandbox", "sandboxed_frames"]


def sandboxed_frames(
    sandbox: Sandbox,
    reading: Reading,
    counts: Counts | None = None,
    left: Callable[[], bool] = lambda: False,
) -> Generator[Frame, None, None]:
    """Yield the frames of :func:`read_frames`, and raise the same errors.

    A URL needs a guard, and is read over one connection. Also raises SourceFault if the child dies,
    hangs or answers nonsense. The child has ended when the generator is closed.
    """
    assert reading.hardware is None
    kept = counts or Counts()
    with ExitStack() as stack:
        decoder = (_of_file if isinstance(reading.location, Path) else _of_camera)(
            sandbox, reading, kept, stack
        )
        while (answer := decoder.answer(left)) is not None:
            try:
                take_counts(answer["counts"], kept)
                if "error" in answer:
                    error = error_of(answer)
                elif "slot" not in answer:
                    return
                else:
                    pictures = decoder.slots.read(answer["slot"], shapes_of(answer, reading))
                    frame, error = frame_of(answer, pictures, reading), None
            except NONSENSE:
                raise nonsense() from None
            if error is not None:
                raise error
            decoder.release(answer["slot"])
            yield frame


def _of_file(sandbox: Sandbox, reading: Reading, counts: Counts, stack: ExitStack) -> Decoder:
    assert isinstance(reading.location, Path)
    video = opened(reading.location)
    stack.callback(os.close, video)
    return Decoder(sandbox, reading, Input(f"file:{reading.location}", video), counts, stack)


def _of_camera(sandbox: Sandbox, reading: Reading, counts: Counts, stack: ExitStack) -> Decoder:
    """Return a decoder that connects to the relay, and receives nothing before it is sealed."""
    assert isinstance(reading.location, str) and reading.guard is not None
    seal = Seal()
    way = stack.enter_context(passage(reading.location, reading.guard, seal.hold))
    source = Input(way.url, proxy=way.options.get("http_proxy"))
    return Decoder(sandbox, reading, source, counts, stack, seal)
