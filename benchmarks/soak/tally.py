"""What the clients of a soak met, counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Counts by name, and the first failures in words.

    ``lives`` are clients by kind that came and went; ``frames`` counts sent, masks, dropped,
    failed, unanswered, twice (answered more than once) and foreign (a mask that is not the
    stream's own).
    """

    lives: Counter[str] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)

    def life(self, kind: str) -> None:
        self.lives[kind] += 1

    def trouble(self, kind: str, error: BaseException) -> None:
        """Count what should not have happened to a client."""
        self.troubles[f"{kind}: {type(error).__name__}: {error}"[:160]] += 1

    @property
    def clean(self) -> bool:
        """Return whether nothing happened that should not."""
        wrong = ("unanswered", "twice", "foreign")
        return not self.troubles and not any(self.frames[name] for name in wrong)


@dataclass(slots=True)
class Answers:
    """The frames of one stream: what was sent, and how often each was answered."""

    sent: list[int] = field(default_factory=list)
    answered: Counter[int] = field(default_factory=Counter)

    def close(self, tally: Tally, complete: bool) -> None:
        """Add this stream to the tally; where it is not ``complete``, its client left before the
        last answer, and what is missing is nobody's fault."""
        tally.frames["sent"] += len(self.sent)
        tally.frames["twice"] += sum(times > 1 for times in self.answered.values())
        if complete:
            tally.frames["unanswered"] += len(set(self.sent) - set(self.answered))
