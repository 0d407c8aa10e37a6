"""Passwords in addresses: sealed when they are stored, left out when they are shown."""

from __future__ import annotations

import base64
from collections.abc import Callable
from functools import cached_property
from urllib.parse import urlsplit

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_PURPOSE = b"mastream: addresses of streams"


class Seal:
    """Seals texts with a key derived from the server's secret, which ``secret`` returns when it is
    first needed. A sealed text is encrypted and authenticated (Fernet)."""

    def __init__(self, secret: Callable[[], bytes]) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "<Seal>"

    def close(self, text: str) -> str:
        """Return a text sealed, in ASCII; each call returns a different one."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str | None:
        """Return the text; None if it was sealed with another secret, or is damaged."""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            return None

    @cached_property
    def _fernet(self) -> Fernet:
        derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE)
        return Fernet(base64.urlsafe_b64encode(derive.derive(self._secret())))


def without_secrets(url: str) -> str:
    """Return a URL without user name, password, query and fragment: any of them may be secret."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    try:
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        port = ""
    return f"{parts.scheme}://{host}{port}{parts.path}"
