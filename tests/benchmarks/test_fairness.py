"""The benchmark of fairness: its ratios, in a short run."""

from __future__ import annotations

import pytest

from benchmarks import fairness
from benchmarks.fairness import Tally


def test_the_p99_is_over_all_streams() -> None:
    assert fairness._p99([Tally(latencies=[1.0]), Tally(latencies=[1.0, 1.0])]) == 1.0


def test_what_was_answered_is_masks_and_drops() -> None:
    assert fairness._answered([Tally(sent=4, masks=2, dropped=1)]) == 0.75


@pytest.mark.timeout(120)
def test_a_short_run_answers_every_frame() -> None:
    found = fairness.measure(seconds=1.0)
    assert found["answered"] == 1
    ratios = {"least", "most", "p99", "answered", "alone_p99", "busy_p99"}
    assert set(found) == ratios | {
        f"{name}{end}" for name in fairness.ATTACKS for end in ("", "_p99")
    }
