"""The server's own secret, which hashes keys, signs sessions and seals passwords."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from server.errors import Fault
from server.settings import SecuritySettings

FILE = "secret"


def server_secret(folder: Path, security: SecuritySettings) -> bytes:
    """Return the configured secret, or the one in the folder's file, which is created if it is
    absent.

    Raises Fault if the file can be neither read nor written.
    """
    if security.secret is not None:
        return security.secret.get_secret_value().encode()
    path = folder / FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            _write_new(path, secrets.token_hex(32).encode())
        return path.read_bytes()
    except OSError as error:
        raise Fault(f"Cannot use the server's secret in {path}: {error.strerror}.") from error


def _write_new(path: Path, data: bytes) -> None:
    """Atomically write a file that only its owner may read. Raises FileExistsError."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    partial.touch(mode=0o600)
    try:
        partial.write_bytes(data)
        os.link(partial, path)
    finally:
        partial.unlink()
