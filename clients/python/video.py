"""An uploaded video as a server describes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from clients.python.errors import NotOurs

ENDED = frozenset({"succeeded", "failed", "cancelled"})
NO_ARTEFACT = frozenset({"self", "events", "source"})


@dataclass(frozen=True, slots=True)
class Video:
    """The state of an uploaded video. ``total`` (frames) and ``eta`` (s) are None if unknown."""

    id: str
    name: str
    state: str
    done: int
    total: int | None
    fps: float | None
    eta: float | None
    links: Mapping[str, str]
    error: str

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def artefacts(self) -> dict[str, str]:
        """The URL path of each artefact by name."""
        return {name: link for name, link in self.links.items() if name not in NO_ARTEFACT}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Return the video that the server's JSON describes. Raises NotOurs if it does not."""
        try:
            progress = given.get("progress") or {}
            return cls(
                id=str(given["id"]),
                name=str(given.get("name", "")),
                state=str(given["state"]),
                done=int(progress.get("frames_done") or 0),
                total=progress.get("frames_total"),
                fps=progress.get("fps"),
                eta=progress.get("eta_s"),
                links=dict(given.get("links") or {}),
                error=str((given.get("error") or {}).get("detail", "")),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise NotOurs(f"The server's answer is not a video: {error!r}.") from error


def page_of(given: Mapping[str, Any]) -> tuple[list[Video], str | None]:
    """Return the videos of a page, and the cursor of the next page; None after the last page.
    Raises NotOurs if the server's JSON is not such a page."""
    try:
        cursor = given.get("next")
        return [Video.from_dict(one) for one in given["videos"]], cursor and str(cursor)
    except (AttributeError, KeyError, TypeError) as error:
        raise NotOurs(f"The server's answer is not a list of videos: {error!r}.") from error
