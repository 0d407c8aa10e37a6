"""The pulled streams that this server leaves to others for a while."""

from __future__ import annotations

AVOID_SECONDS = 60.0
"""For how long this server leaves a stream that it cannot pull to others."""


class Avoided:
    """It has no clock: times are passed in, in seconds. Mutable state: when each stream was left to
    others, kept for twice as long as it is avoided."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Avoided {list(self._since)}>"

    def add(self, name: str, now: float) -> None:
        """Avoid a stream from now on."""
        self._since = {one: since for one, since in self._since.items() if _is_recent(since, now)}
        self._since[name] = now

    def names(self, now: float) -> set[str]:
        """Return the streams that are avoided now."""
        return {name for name, since in self._since.items() if now - since < AVOID_SECONDS}

    def was(self, name: str, now: float) -> bool:
        """Return whether a stream was left to others, now or a while ago."""
        return name in self._since and _is_recent(self._since[name], now)


def _is_recent(since: float, now: float) -> bool:
    return now - since < 2 * AVOID_SECONDS
