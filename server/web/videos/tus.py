"""The headers of tus 1.0.0, the protocol of uploads that arrive in parts."""

from __future__ import annotations

import base64
import binascii
from email.utils import formatdate

from server.errors import BadRequest

VERSION = "1.0.0"
EXTENSIONS = "creation,creation-with-upload,expiration,termination"
PART_TYPE = "application/offset+octet-stream"
MAX_METADATA = 32
"""Maximum number of entries in Upload-Metadata."""


def metadata(header: str | None) -> dict[str, str]:
    """Return the entries of Upload-Metadata: pairs of a key and its value in Base64, separated by
    commas.

    Raises BadRequest if it is malformed, or a value is not UTF-8.
    """
    pairs = [pair.split() for pair in (header or "").split(",") if pair.strip()]
    if len(pairs) > MAX_METADATA or any(len(pair) > 2 for pair in pairs):
        raise BadRequest("Upload-Metadata is malformed: send pairs of a key and Base64.")
    return {key: _decoded(key, *value) for key, *value in pairs}


def expires(seconds: float) -> str:
    """Return the Upload-Expires for a time in seconds since the epoch."""
    return formatdate(seconds, usegmt=True)


def _decoded(key: str, value: str = "") -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise BadRequest(
            f"The value of {key[:80]!r} in Upload-Metadata is not UTF-8 in Base64: encode it."
        ) from error
