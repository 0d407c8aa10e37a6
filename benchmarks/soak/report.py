"""The closing table of a soak."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.soak.tally import Tally
from benchmarks.soak.watch import Sample, minutes, slope


def report(tally: Tally, samples: Sequence[Sample], left: int, warm_up: float) -> str:
    """Return the results of a soak; growth counts from the first sample after ``warm_up``."""
    warm = [one for one in samples if one.at >= warm_up] or list(samples)
    first, last = warm[0], warm[-1]
    lines = ["minute   RSS MiB  threads  files"]
    lines += [
        f"{one.at / 60:6.0f}{one.rss:10.1f}{one.threads:9}{one.files:7}" for one in minutes(samples)
    ]
    lines += ["", f"{'clients':28}{_counts(tally.lives)}", f"{'frames':28}{_counts(tally.frames)}"]
    lines += [
        f"{'unanswered':28}{tally.frames['unanswered']}",
        f"{'answered twice':28}{tally.frames['twice']}",
        f"{'masks of another stream':28}{tally.frames['foreign']}",
        f"{'sessions and cameras left':28}{left}",
        f"{'threads, warm and at the end':28}{first.threads} {last.threads}",
        f"{'files, warm and at the end':28}{first.files} {last.files}",
        f"{'RSS, warm and at the end':28}{first.rss:.1f} {last.rss:.1f} MiB",
        f"{'RSS slope':28}{slope(warm):+.2f} MiB per minute",
    ]
    lines += [f"{'trouble':28}{times} x {what}" for what, times in tally.troubles.most_common(20)]
    return "\n".join(lines)


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(found.items())) or "none"
