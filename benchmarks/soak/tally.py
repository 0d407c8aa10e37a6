"""Counts of what happened to the clients of a soak."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tally:
    """Counts by name.

    ``lives`` counts clients by kind; ``frames`` counts sent, masks, dropped, failed, unanswered,
    twice (answered more than once) and foreign (another stream's mask); ``troubles`` counts
    unexpected events by their text.
    """

    lives: Counter[str] = field(default_factory=Counter)
    frames: Counter[str] = field(default_factory=Counter)
    troubles: Counter[str] = field(default_factory=Counter)

    def life(self, kind: str) -> None:
        self.lives[kind] += 1

    def trouble(self, kind: str, error: BaseException) -> None:
        """Count an unexpected event of a client."""
        self.troubles[f"{kind}: {type(error).__name__}: {error}"[:160]] += 1

    @property
    def clean(self) -> bool:
        """Whether nothing unexpected happened."""
        wrong = ("unanswered", "twice", "foreign")
        return not self.troubles and not any(self.frames[name] for name in wrong)


@dataclass(slots=True)
class Answers:
    """The frames of one stream: those sent, and how often each was answered."""

    sent: list[int] = field(default_factory=list)
    answered: Counter[int] = field(default_factory=Counter)

    def close(self, tally: Tally, complete: bool) -> None:
        """Add this stream to the tally. If it is not ``complete``, its client left early, and
        missing answers are not a fault."""
        tally.frames["sent"] += len(self.sent)
        tally.frames["twice"] += sum(times > 1 for times in self.answered.values())
        if complete:
            tally.frames["unanswered"] += len(set(self.sent) - set(self.answered))
