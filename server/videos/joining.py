"""Joining the pieces of a video into its artefacts: packets are copied and nothing is encoded
again."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ParamSpec

from server.errors import unwritable
from server.sinks.recorder import join_parts
from server.videos.ledger import Finished
from server.videos.reader import Work

P = ParamSpec("P")


async def join_pieces(work: Work, finished: Sequence[Finished], results: Path) -> None:
    """Make the artefacts in ``results``, which is created, from all pieces of a video.

    The pieces stay, so it can be repeated after a failure. If cancelled, it still completes the
    current artefact. Raises Fault, or DiskFull if there is no space.
    """
    folders = [work.folder / piece.folder for piece in finished]
    await _in_thread(_make_folder, results)
    spec = work.worker.spec
    for name in work.artefacts:
        await _in_thread(join_parts, folders, results, spec, work.info, [name], work.style)
        await _in_thread(flush, [results / name])


def flush(files: Sequence[Path]) -> None:
    """Make sure that these files, and their names, survive a loss of power. Raises Fault if the
    disk refuses."""
    try:
        for path in (*files, *{file.parent for file in files}):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except OSError as error:
        raise unwritable("The results", error.errno, error.strerror) from error


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable("The results", error.errno, error.strerror) from error


async def _in_thread(call: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """Run a call in a thread; if cancelled, wait until it is done, since it uses files."""
    running = asyncio.ensure_future(asyncio.to_thread(call, *args, **kwargs))
    try:
        await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
