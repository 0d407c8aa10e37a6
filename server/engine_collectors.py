"""Metrics of engines, plans and devices, read anew at every scrape."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from server.engines.info import EngineInfo, PlanStatus
from server.frame import HOST_COPIES


class HostCopies(Collector):
    """The process's count of copied pictures, read at every scrape."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        yield CounterMetricFamily(
            "mastream_host_copies",
            "Pictures copied from a device to the host",
            value=HOST_COPIES.count,
        )


class Engines(Collector):
    """The engines in use; an engine that died may be replaced by one of another kind."""

    def __init__(self) -> None:
        self.watched: list[Callable[[], EngineInfo | None]] = []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        serving = [built for engine in self.watched if (built := engine())]
        info = GaugeMetricFamily(
            "mastream_engine_info", "Engines that serve", labels=["model", "provider", "device"]
        )
        for labels, count in _counted((b.spec.name, b.provider, b.device) for b in serving):
            info.add_metric(labels, count)
        passed_over = GaugeMetricFamily(
            "mastream_engine_passed_over",
            "Engines by each preferred provider that failed, and the reason",
            labels=["provider", "reason"],
        )
        for labels, count in _counted(_parted(reason) for b in serving for reason in b.passed_over):
            passed_over.add_metric(labels, count)
        yield from (info, passed_over)


class Plan(Collector):
    """The stage of the TensorRT plan that the engines switch to, or the reason why there is
    none."""

    def __init__(self) -> None:
        self.status: Callable[[], PlanStatus] | None = None

    def collect(self) -> Iterator[GaugeMetricFamily]:
        if self.status is None:
            return
        status = self.status()
        stage = GaugeMetricFamily(
            "mastream_plan_info",
            "The TensorRT plan's stage, and why there is none",
            labels=["stage", "reason"],
        )
        given_up = status.stage in ("off", "failed")
        stage.add_metric((status.stage, status.detail if given_up else ""), 1)
        percent = GaugeMetricFamily(
            "mastream_plan_build_percent",
            "How much of the plan has been built",
            value=status.percent,
        )
        yield from (stage, percent)


def _counted(labels: Iterable[tuple[str, ...]]) -> Iterable[tuple[tuple[str, ...], int]]:
    return Counts(labels).items()


def _parted(reason: str) -> tuple[str, str]:
    provider, _, why = reason.partition(": ")
    return provider, why
