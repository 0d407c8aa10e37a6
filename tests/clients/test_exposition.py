"""Rates and quantiles of metrics that were read twice."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from clients.python.errors import NotOurs
from clients.python.exposition import Exposition, quantile, rate


def read(registry: CollectorRegistry, at: float) -> Exposition:
    return Exposition.read(generate_latest(registry).decode(), at)


def test_a_rate_is_the_increase_per_second_over_all_matching_labels() -> None:
    registry = CollectorRegistry()
    frames = Counter("frames", "x", ["result", "cause"], registry=registry)
    frames.labels("dropped", "newer").inc(5)
    before = read(registry, at=10.0)
    frames.labels("dropped", "newer").inc(4)
    frames.labels("dropped", "stale").inc(2)
    frames.labels("segmented", "").inc(100)
    now = read(registry, at=12.0)
    assert rate(before, now, "frames_total", result="dropped") == 3
    assert rate(now, before, "frames_total") == 0, "a server that was started again"


def test_a_quantile_is_interpolated_between_the_bounds() -> None:
    registry = CollectorRegistry()
    stage = Histogram("stage", "x", ["stage"], buckets=(1, 2, 4), registry=registry)
    stage.labels("old").observe(0.5)
    before = read(registry, at=0.0)
    for value in (0.5, 1.5, 1.5, 3):
        stage.labels("old").observe(value)
    now = read(registry, at=1.0)
    assert quantile(0.5, before, now, "stage", stage="old") == pytest.approx(1.5)
    assert quantile(1.0, before, now, "stage", stage="old") == pytest.approx(4)
    assert quantile(0.5, before, now, "stage", stage="other") is None
    stage.labels("old").observe(1000)
    assert quantile(1.0, before, read(registry, 2.0), "stage", stage="old") == 4


def test_what_is_no_exposition_is_not_ours() -> None:
    with pytest.raises(NotOurs, match="metrics cannot be read"):
        Exposition.read("<html>not metrics</html>", 0.0)
