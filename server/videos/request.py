"""What a client asks for with an upload."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class VideoRequest:
    """The video that is to be made of an upload.

    ``name`` is for display. ``key`` is the client's idempotency key, if any.
    """

    name: str
    artefacts: tuple[str, ...]
    key: str | None = None

    def fingerprint(self, digest: str) -> str:
        """Return a hash of what is asked for, with the file's SHA-256; its name does not count."""
        asked = "\n".join((digest, *self.artefacts))
        return hashlib.sha256(asked.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the request as a JSON object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Return the request that :meth:`to_dict` wrote."""
        return cls(**dict(stored) | {"artefacts": tuple(stored["artefacts"])})
