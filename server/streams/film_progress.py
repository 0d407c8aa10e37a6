"""How far a file has been played: its frames that wait for their masks, and the last ones that have
them."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

from server.streams.place import Made, Place, place_of

WAITING = 16
"""Maximum number of frames that are remembered until they have their masks: more than a session
holds, since the results of its last step may not have arrived yet."""


class FilmProgress:
    """Knows the place at which another server would continue a file.

    Mutable state: the frames that wait for their masks, of which the oldest are forgotten if there
    are too many, as if they all failed; and the last ``horizon`` frames that have masks, on which
    the memory depends.
    """

    def __init__(self, horizon: int | None) -> None:
        self._horizon = horizon
        self._waiting = deque[Made](maxlen=WAITING)
        self._made = deque[Made](maxlen=max(1, horizon or 0))

    def __repr__(self) -> str:
        return f"<FilmProgress {len(self._made)} made, {len(self._waiting)} waiting>"

    @property
    def place(self) -> Place | None:
        """Return the place after the last frame that has its mask, None before the first."""
        return place_of(self._made, self._horizon)

    def note(self, taken: Made) -> None:
        """Remember a frame until it has its mask."""
        self._waiting.append(taken)

    def note_sent(self, taken: Made, sent: int) -> None:
        """Remember a frame that already has its mask, as do all up to ``sent``."""
        is_first = not self._made and sent - taken.seq + 1 < (self._made.maxlen or 0)
        self._made.append(replace(taken, is_first=is_first))

    def made(self, seq: int, is_first: bool) -> None:
        """Record that a frame has its mask; ``is_first``: the memory was empty."""
        while self._waiting and self._waiting[0].seq <= seq:
            taken = self._waiting.popleft()
            if taken.seq == seq:
                self._made.append(replace(taken, is_first=taken.is_first or is_first))

    def begin_anew(self) -> None:
        """Forget all masks: the file is played from its beginning."""
        self._made.clear()
