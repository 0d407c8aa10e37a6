"""The name under which a server takes rows: the same at each start on one data folder."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import uuid4

from server.errors import Fault

FILE = "server_name"


def server_name(folder: Path) -> str:
    """Return the name kept in a data folder; make it at the first start. Raises Fault if the file
    cannot be used."""
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(uuid4().hex)
        name = path.read_text().strip()
    except OSError as error:
        raise Fault(f"The server's name cannot be kept in {path}: {error.strerror}.") from error
    if not re.fullmatch(r"[0-9a-f]{32}", name):
        raise Fault(f"{path} is damaged: remove it, and the server gets a new name.")
    return name
