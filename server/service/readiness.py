"""Why the service is not ready: only the decision."""

from __future__ import annotations

from dataclasses import dataclass

STALE_STEP_SECONDS = 10.0
"""A step older than this, with work waiting, makes the service not ready."""


@dataclass(frozen=True, slots=True)
class Condition:
    """The state of the service at one moment. ``serves``: the engine answers, or has not been
    started yet. ``step_age``: seconds that the engine's current step has taken."""

    is_draining: bool
    is_loaded: bool
    serves: bool
    database_answers: bool
    step_age: float


def reasons(now: Condition) -> list[str]:
    """Return the reasons for not being ready; empty if ready."""
    known = {
        "the service is about to stop": now.is_draining,
        "the model is being loaded": not now.is_loaded and not now.is_draining,
        "the engine is being restarted": now.is_loaded and not now.serves,
        "the database does not answer": not now.database_answers,
        f"the engine's step has lasted {now.step_age:.0f} s": now.step_age > STALE_STEP_SECONDS,
    }
    return [reason for reason, holds in known.items() if holds]
