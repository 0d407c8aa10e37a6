"""The cost of pulled streams: the tables, and a short run with a real camera."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks import live
from benchmarks.live import Cost, Pulled
from benchmarks.soak.watch import Sample


def test_the_table_of_a_run() -> None:
    memory = [Sample(60.0 * minute, 100 + minute, 5, 9) for minute in range(3)]
    found = Pulled([1.0, 2.0], [30.0, 40.0], Counter(newer=3), frames=5, masks=2, memory=memory)
    table = live.report(found)
    assert "5 frames, 2 masks; drops: 3 newer" in table
    assert "+1.00 MiB per minute, at the end 102 MiB" in table
    assert "glass" in table and "35.00" in table


def test_the_ratio_of_viewers_is_that_of_the_last_two() -> None:
    costs = [Cost(1, 1.0, 1.0, 1.0), Cost(10, 2.0, 1.0, 1.0), Cost(100, 3.0, 1.0, 1.0)]
    assert live.ratio(costs) == 1.5
    assert "100" in live.viewers_report(costs)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "WARM_UP_SECONDS", 0.5)


@pytest.mark.usefixtures("camera", "short")
def test_a_short_run_of_real_cameras() -> None:
    found = live.measure(2, rate=10, size=(160, 120), seconds=2.0)
    assert found.masks > 0 and len(found.added) > 0
    assert found.percentile("glass", 50) > 0


@pytest.mark.usefixtures("camera", "short")
def test_viewers_share_every_step_and_encode() -> None:
    one, ten = live.viewers_cost((1, 10), rate=10, size=(160, 120), seconds=2.0)
    assert (one.viewers, ten.viewers) == (1, 10)
    for cost in (one, ten):
        assert cost.steps <= 1.2 and cost.encodes <= 1.2


def test_a_machine_without_cameras_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> str:
        return "no GStreamer"

    monkeypatch.setattr(live.cameras, "why_none", missing)
    assert [row[1] for row in live.rows()] == ["no camera: no GStreamer"] * 2
