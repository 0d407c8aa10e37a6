"""A client's request with an upload."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from server.sinks.recorder import ALWAYS
from server.sinks.style import DEFAULT, Style


@dataclass(frozen=True, slots=True)
class VideoRequest:
    """The video that an upload will become.

    ``name`` is for display. ``style`` says how the artefacts show the masks. ``key`` is the
    client's idempotency key, if any. ``owner`` is the id of its API key, empty if none was
    required. ``callback_url`` is called when the video has ended.
    """

    name: str
    artefacts: tuple[str, ...]
    style: Style = DEFAULT
    key: str | None = None
    owner: str = ""
    callback_url: str | None = field(default=None, repr=False)

    def fingerprint(self, digest: str) -> str:
        """Return a hash of the request, with the file's SHA-256; its name does not count.

        Artefacts that are always made do not count either, nor does a default style: keys from
        before there were any stay valid.
        """
        asked = [digest, *(name for name in self.artefacts if name not in ALWAYS)]
        if self.style != DEFAULT:
            asked.append(repr(self.style))
        return hashlib.sha256("\n".join(asked).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the request as a JSON object."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """Return the request that :meth:`to_dict` wrote."""
        style = Style.from_dict(stored.get("style"))
        return cls(**dict(stored) | {"artefacts": tuple(stored["artefacts"]), "style": style})
