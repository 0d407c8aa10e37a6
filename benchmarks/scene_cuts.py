"""How many scene cuts are missed, and how many are reported falsely.

    python -m benchmarks.scene_cuts [--seconds 12] [--seeds 3] [--data FOLDER]

The footage is synthetic (``benchmarks/scene_clips.py``) and, if ``--data`` exists (default
MASTREAM_DATA), real: each clip as it is, which has no cut, and all of them joined at random places.
A cut counts as found if it is reported with its first picture or one of the next two, which are
needed to distinguish a brighter scene from a flash. A gradual cut may be reported later, when the
new scene shows. Times are the thread's CPU time, the median of each kind.
"""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from numpy.random import default_rng
from rich.console import Console
from rich.table import Table

from benchmarks.scene_clips import KINDS, Shown
from benchmarks.scene_footage import Footage, joined, read_all
from server.sources.scenes.scene_cut import SceneCut, look

RATES = (25, 5, 1)

LATE = 2
"""Maximum pictures from a cut to its report."""

GRADUAL = {"through black": 0.5, "dissolving": 1.6}
"""Maximum seconds from a gradual cut to its report."""


@dataclass(frozen=True, slots=True)
class Score:
    """Counts over clips; ``seconds`` are the detector's times, one per picture."""

    cuts: int = 0
    misses: int = 0
    false_alarms: int = 0
    seconds: tuple[float, ...] = field(default=(), repr=False)

    def __add__(self, other: Score) -> Score:
        return Score(
            self.cuts + other.cuts,
            self.misses + other.misses,
            self.false_alarms + other.false_alarms,
            self.seconds + other.seconds,
        )

    @property
    def frames(self) -> int:
        return len(self.seconds)

    @property
    def recall(self) -> float:
        return 1 - self.misses / self.cuts if self.cuts else 1.0

    @property
    def precision(self) -> float:
        found = self.cuts - self.misses
        return found / (found + self.false_alarms) if found + self.false_alarms else 1.0


def score(clip: Iterable[Shown], late: int = LATE) -> Score:
    """Run the detector over one clip."""
    state, cuts, reports, seconds = SceneCut(), [], [], []
    for index, shown in enumerate(clip):
        began = time.thread_time()
        state, is_cut = look(state, shown.pixels, shown.pts)
        seconds.append(time.thread_time() - began)
        cuts += [index] * shown.is_cut
        reports += [index] * is_cut
    found = matches(cuts, reports, late)
    return Score(len(cuts), len(cuts) - found, len(reports) - found, tuple(seconds))


def matches(cuts: Sequence[int], reports: Sequence[int], late: int) -> int:
    """Return how many cuts have their own report, at most ``late`` pictures after them."""
    left, found = deque(reports), 0
    for cut in cuts:
        while left and left[0] < cut:
            left.popleft()
        if left and left[0] <= cut + late:
            left.popleft()
            found += 1
    return found


def synthetic(kind: str, rate: float, seconds: float = 12, seeds: int = 1) -> Score:
    """Score one kind of footage, with a different world for each seed."""
    late = max(LATE, round(GRADUAL.get(kind, 0) * rate))
    clips = (KINDS[kind](default_rng(seed), rate, seconds) for seed in range(seeds))
    return sum((score(clip, late) for clip in clips), Score())


def real(footage: Sequence[Footage], rate: int, seeds: int) -> Iterator[tuple[str, Score]]:
    """Score the clips that have this rate as they are, then joined."""
    clips = [one for one in footage if rate in one.pictures]
    for clip in clips:
        yield clip.name, score(clip.shown(rate))
    joins = (score(joined(clips, rate, default_rng(seed))) for seed in range(seeds))
    yield "joined", sum(joins, Score())


def measure(seconds: float, seeds: int, data: Path | None) -> Iterator[tuple[str, int, Score]]:
    """Yield (kind, rate, score) of all available footage."""
    for kind in KINDS:
        for rate in RATES:
            yield kind, rate, synthetic(kind, rate, seconds, seeds)
    if data is None or not data.is_dir():
        print("No real clips: set MASTREAM_DATA or --data to their folder.", file=sys.stderr)
        return
    footage = read_all(data, RATES)
    for rate in RATES:
        for name, found in real(footage, rate, 4 * seeds):
            yield name, rate, found


def main() -> None:
    parser = ArgumentParser("python -m benchmarks.scene_cuts")
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--data", type=Path, default=os.environ.get("MASTREAM_DATA"))
    given = parser.parse_args()
    table = Table("kind", "per second", "frames", "cuts", "missed", "false", "us per frame")
    for kind, rate, found in measure(given.seconds, given.seeds, given.data):
        counts = (found.frames, found.cuts, found.misses, found.false_alarms)
        cost = f"{1e6 * median(found.seconds):.0f}"
        table.add_row(kind, str(rate), *map(str, counts), cost)
    Console().print(table)


if __name__ == "__main__":
    main()
