"""The file of an upload, and the fields that choose its results."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from clients.python.errors import BadFootage
from clients.python.parted import CHUNK_BYTES, OnBytes


def upload_fields(
    artefacts: Iterable[str],
    classes: Iterable[str],
    opacity: float | None,
    callback_url: str | None,
) -> dict[str, str]:
    """Return the fields of an upload that choose its results and the address to call at its end;
    empty if none is chosen."""
    chosen = {
        "artefacts": ",".join(artefacts),
        "classes": ",".join(classes),
        "opacity": "" if opacity is None else str(opacity),
        "callback_url": callback_url or "",
    }
    return {name: text for name, text in chosen.items() if text}


def size_of(path: Path) -> int:
    """Return the size of a file in bytes. Raises BadFootage if it cannot be opened."""
    try:
        with path.open("rb") as file:
            return os.fstat(file.fileno()).st_size
    except OSError as error:
        raise BadFootage(f"{path} cannot be read: {error.strerror}.") from error


async def chunks_of(path: Path, on_bytes: OnBytes) -> AsyncIterator[bytes]:
    """Yield a file's bytes, and report each chunk once it is sent. Raises BadFootage."""
    try:
        with path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield chunk
                on_bytes(len(chunk))
    except OSError as error:
        raise BadFootage(f"{path} cannot be read: {error.strerror}.") from error
