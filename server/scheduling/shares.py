"""Fair shares of an engine: start-time fair queueing over the owners of sessions.

P. Goyal, H. Vin, H. Cheng: "Start-time fair queueing", IEEE/ACM Trans. Networking 5 (1997).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from server.scheduling.session import Session


class Shares:
    """Orders sessions so that competing owners get equal numbers of frames, however many sessions
    each of them has.

    A frame's start tag is the larger of its owner's last finish tag and the virtual time, which is
    the start tag of the frame served last; serving it makes the finish tag one more. So an idle
    owner earns nothing. Mutable state: the virtual time and the finish tags that are above it.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._finished: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"<Shares {len(self._finished)} owners at {self._now:g}>"

    def in_order(self, sessions: Sequence[Session]) -> list[Session]:
        """Return the sessions by start tag; those of one owner stay in the order given."""
        tags: dict[str, float] = {}
        starts = []
        for session in sessions:
            start = tags.get(session.owner, self._start(session.owner))
            tags[session.owner] = start + 1
            starts.append(start)
        order = sorted(range(len(sessions)), key=starts.__getitem__)
        return [sessions[index] for index in order]

    def serve(self, sessions: Iterable[Session]) -> None:
        """Record that one frame of each of these sessions is served."""
        for session in sessions:
            start = self._start(session.owner)
            self._finished[session.owner] = start + 1
            self._now = max(self._now, start)
        late = [owner for owner, finished in self._finished.items() if finished <= self._now]
        for owner in late:
            del self._finished[owner]

    def _start(self, owner: str) -> float:
        return max(self._now, self._finished.get(owner, 0.0))
