"""A server's metrics at two moments: rates and quantiles of the time between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from prometheus_client.parser import text_string_to_metric_families

from clients.python.errors import NotOurs

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Exposition:
    """The samples of /metrics, by name and sorted labels, and when they were read, in seconds."""

    samples: Mapping[tuple[str, Labels], float]
    at: float

    @classmethod
    def read(cls, text: str, at: float) -> Exposition:
        """Return the samples of an exposition text. Raises NotOurs if it cannot be read."""
        try:
            families = list(text_string_to_metric_families(text))
        except ValueError as error:
            raise NotOurs("The server's metrics cannot be read; check its address.") from error
        samples = (sample for family in families for sample in family.samples)
        return cls({(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples}, at)

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of the samples that have these labels."""
        return sum(
            value
            for (found, own), value in self.samples.items()
            if found == name and labels.items() <= dict(own).items()
        )

    def labels(self, name: str) -> list[dict[str, str]]:
        """Return the labels of each sample of a metric that is not 0."""
        return [
            dict(own) for (found, own), value in self.samples.items() if found == name and value
        ]


def rate(before: Exposition, now: Exposition, name: str, **labels: str) -> float:
    """Return a counter's increase per second."""
    seconds = max(now.at - before.at, 1e-9)
    return max(0.0, now.total(name, **labels) - before.total(name, **labels)) / seconds


def quantile(
    share: float, before: Exposition, now: Exposition, name: str, **labels: str
) -> float | None:
    """Return a histogram's quantile between two moments, interpolated as in Prometheus; None if
    nothing was observed. Observations above the last bound count as that bound."""
    buckets = _buckets(before, now, name, labels)
    wanted = share * (buckets[-1][1] if buckets else 0.0)
    below, lower = 0.0, 0.0
    for bound, count in buckets:
        if wanted and count >= wanted:
            if bound == inf:
                return lower
            return lower + (bound - lower) * (wanted - below) / (count - below)
        below, lower = count, bound
    return None


def _buckets(
    before: Exposition, now: Exposition, name: str, labels: Mapping[str, str]
) -> list[tuple[float, float]]:
    """Return (upper bound, observations up to it) by rising bound."""
    found: dict[float, float] = {}
    for (sample, own), value in now.samples.items():
        given = dict(own)
        if sample == f"{name}_bucket" and labels.items() <= given.items():
            bound = float(given["le"])
            grown = value - before.samples.get((sample, own), 0.0)
            found[bound] = found.get(bound, 0.0) + grown
    return sorted(found.items())
