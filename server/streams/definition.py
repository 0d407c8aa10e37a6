"""The definition of a pulled stream: its address, its pace, and when its memory is emptied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from protocol import DropPolicy
from server.security.sealing import without_secrets

OnChange = Literal["reset", "keep"]


@dataclass(frozen=True, slots=True)
class StreamDefinition:
    """One pulled stream as requested; it is kept across restarts.

    ``url`` may contain a password: show :attr:`shown_url` instead. ``budget_ms``: a frame older
    than this is dropped. ``max_fps``: frames beyond it are skipped. ``loop``: a file starts again
    at its end. ``max_gap`` is the pause in seconds after which ``on_gap`` applies; ``on_connect``
    applies at a new connection, ``on_size`` when the picture's size changes, and ``on_cut`` at a
    scene cut. ``publish`` is the address to which the overlay is restreamed, if any. ``owner`` is
    the id of the API key that added it, empty if none was required.
    """

    name: str
    url: str
    policy: DropPolicy = DropPolicy.LATEST
    budget_ms: float | None = None
    max_fps: float | None = None
    loop: bool = False
    max_gap: float = 2.0
    on_gap: OnChange = "reset"
    on_connect: OnChange = "reset"
    on_size: OnChange = "reset"
    on_cut: OnChange = "reset"
    publish: str | None = None
    paused: bool = False
    created: float = 0.0
    owner: str = ""

    def __repr__(self) -> str:
        return f"<StreamDefinition {self.name} {self.shown_url}>"

    @property
    def shown_url(self) -> str:
        """Return the address without user name, password and query."""
        return without_secrets(self.url)

    @property
    def shown_publish(self) -> str | None:
        """Return the address of ``publish`` without user name, password and query."""
        return None if self.publish is None else without_secrets(self.publish)

    @property
    def budget(self) -> float | None:
        """Return ``budget_ms`` in seconds."""
        return None if self.budget_ms is None else self.budget_ms / 1000

    @property
    def is_file(self) -> bool:
        """Return whether a file is played, at its own pace, rather than a camera."""
        return urlsplit(self.url).scheme == "file"

    def to_dict(self) -> dict[str, Any]:
        """Return everything, including the url's secrets, only for the rows, which seal them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Read the result of :meth:`to_dict`; fields of a newer version are ignored."""
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in given.items() if name in known}
        return cls(**values | {"policy": DropPolicy(values["policy"])})
