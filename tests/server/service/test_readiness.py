"""Each reason for not being ready, alone and together."""

from __future__ import annotations

from dataclasses import replace

import pytest

from server.service.readiness import STALE_STEP_SECONDS, Condition, reasons

READY = Condition(
    is_draining=False, is_loaded=True, serves=True, database_answers=True, step_age=0.0
)


def test_a_service_without_a_fault_is_ready() -> None:
    assert reasons(READY) == []
    assert reasons(replace(READY, step_age=STALE_STEP_SECONDS)) == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"is_draining": True}, "the service is about to stop"),
        ({"is_loaded": False}, "the model is being loaded"),
        ({"serves": False}, "the engine is being restarted"),
        ({"database_answers": False}, "the database does not answer"),
        ({"step_age": 12.4}, "the engine's step has lasted 12 s"),
    ],
)
def test_each_fault_is_a_reason(change: dict[str, bool], reason: str) -> None:
    assert reasons(replace(READY, **change)) == [reason]  # type: ignore[arg-type]


def test_a_service_that_stops_does_not_say_that_it_loads() -> None:
    now = replace(READY, is_draining=True, is_loaded=False, serves=False)
    assert reasons(now) == ["the service is about to stop"]
