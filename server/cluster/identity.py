"""Names that are kept in a folder: that of a server, under which it takes rows, in its data folder,
and that of a folder of videos which servers share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from server.errors import Fault

FILE = "server_name"
VIDEOS_FILE = "videos_name"


def server_name(folder: Path) -> str:
    """Return the name kept in a data folder; create it at the first start. Raises Fault if the file
    cannot be used."""
    return _kept_name(folder / FILE, _write)


def videos_name(folder: Path) -> str:
    """Return the name kept in a folder of videos, the same for all servers that use it; the first
    one creates it. Raises Fault if the file cannot be used."""
    return _kept_name(folder / VIDEOS_FILE, _write_once)


def _kept_name(path: Path, write: Callable[[Path], None]) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            write(path)
        name = path.read_text().strip()
    except OSError as error:
        raise Fault(f"A name cannot be kept in {path}: {error.strerror}.") from error
    if not re.fullmatch(r"[0-9a-f]{32}", name):
        raise Fault(f"{path} is damaged: remove it to get a new name.")
    return name


def _write(path: Path) -> None:
    path.write_text(uuid4().hex)


def _write_once(path: Path) -> None:
    """Atomically write a name, unless another server is faster."""
    draft = path.with_name(f"{path.name}.{uuid4().hex}")
    _write(draft)
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
