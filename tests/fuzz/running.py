"""Running the cases of all targets."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.fuzz.mutating import mutated
from tests.fuzz.targets import Target

SLOW_SECONDS = 5.0
"""CPU time of one small input; more is an attack."""


@dataclass
class Report:
    """The findings. ``failed`` has the forbidden errors of inputs, at most one of each kind;
    ``slowest`` has the CPU seconds of each target's slowest case."""

    cases: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    slowest: dict[str, float] = field(default_factory=dict)
    failed: dict[str, bytes] = field(default_factory=dict)


def fuzz(
    targets: Mapping[str, Target], cases: int, seed: int, until: float | None = None
) -> Report:
    """Run this many cases, or until time.monotonic() is ``until``; the same seed gives the same
    cases."""
    report, chance = Report(), random.Random(seed)
    names, shares = list(targets), [one.share for one in targets.values()]
    for _ in range(cases):
        if until is not None and time.monotonic() > until:
            break
        name = chance.choices(names, shares)[0]
        try_one(name, targets[name], mutated(targets[name].seeds, chance), report)
    return report


def try_one(name: str, target: Target, data: bytes, report: Report) -> None:
    """Run one case and add its result to the report."""
    report.cases[name] += 1
    began = time.process_time()
    try:
        target.run(data)
        report.accepted[name] += 1
    except target.errors as error:
        if not str(error):
            report.failed.setdefault(f"{name}: {type(error).__name__} without a sentence", data)
    except Exception as error:
        report.failed.setdefault(f"{name}: {type(error).__name__}: {error}"[:200], data)
    spent = time.process_time() - began
    report.slowest[name] = max(spent, report.slowest.get(name, 0.0))
    if spent > SLOW_SECONDS:
        report.failed.setdefault(f"{name}: took long", data)
