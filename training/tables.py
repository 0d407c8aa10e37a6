"""The paper's tables, from our own modules and runs: ``python -m training.tables``.

Table 4 is counted from the modules themselves. Tables 1, 2 (over T) and 3 (over r) are filled from
the results of our runs, one JSON file each (experiments/runs.py), beside the paper's figures where
they are known to us.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from models.options import MemoryOptions
from training.data.datasets import DataError
from training.experiments import costs
from training.experiments.runs import Average, Trial, read_runs, trials
from training.experiments.sheet import ROOM, UNKNOWN, Sheet, in_markdown, on_screen

RESULTS = Path(__file__).parent / "results"
USUAL = MemoryOptions()

PAPER_SETTING = (
    "paper: its CamVid figures are of 960x720 and of the release's own split, which is not the "
    "standard one, so ours cannot be held against them."
)
OURS = (
    "ours: mIoU in % over the whole split, mean ± standard deviation over seeds; off: the same "
    "weights with every memory empty; VC8: consistency over 8 frames of the dense val clip."
)


@dataclass(frozen=True)
class Published:
    """One line of the paper's Table 1: mIoU in % on ResNet-50 and on MA-ResNet50."""

    dataset: str
    head: str
    plain: float
    remembering: float


PUBLISHED = (
    Published("camvid", "deeplabv3plus", 73.77, 75.02),
    Published("camvid", "pspnet", 69.61, 71.39),
    Published("camvid", "sfnet", 75.55, 77.05),
    Published("vspw-person", "deeplabv3plus", 81.79, 83.10),
    Published("vspw-person", "pspnet", 75.95, 78.52),
    Published("vspw-person", "dnlnet", 78.94, 80.82),
)

SCORES = ("test", "test off", "val", "val off", "VC8")
OURS_COLUMNS = (*SCORES, "seeds", "run", "series")


def table_1(found: Sequence[Trial]) -> Sheet:
    """Every head on plain and on MA-ResNet50: the paper's figure, then each series of ours."""
    rows, held = [], []
    for line in PUBLISHED:
        for remembers, figure in ((False, line.plain), (True, line.remembering)):
            encoder = "MA-ResNet50" if remembers else "ResNet50"
            ours = [t for t in found if _of_table_1(t, line, remembers)]
            rows += _lines((line.dataset, line.head, encoder, f"{figure:.2f}"), ours)
            held += ours
    columns = ("dataset", "head", "encoder", "paper", *OURS_COLUMNS)
    return Sheet("Table 1: mIoU by head and encoder", columns, tuple(rows), notes(held))


def _of_table_1(trial: Trial, line: Published, remembers: bool) -> bool:
    run = trial.first
    same = (run.dataset, run.head, run.remembers) == (line.dataset, line.head, remembers)
    return same and not run.changed


def table_2(found: Sequence[Trial]) -> Sheet:
    """Over the memory's length; T=0 is the plain encoder."""
    return _sweep(found, f"Table 2: mIoU over T, r={USUAL.ratio:g}", "T", "frames", costs.FRAMES)


def table_3(found: Sequence[Trial]) -> Sheet:
    """Over the share of channels; r=0 is the plain encoder."""
    return _sweep(found, f"Table 3: mIoU over r, T={USUAL.frames}", "r", "ratio", costs.RATIOS)


def _sweep(
    found: Sequence[Trial], title: str, symbol: str, option: str, usual: Iterable[float]
) -> Sheet:
    """Of every series and head in which ``option`` was varied, a row a value."""
    varied = {_compared(t) for t in found if t.first.changed == {option}}
    held = [t for t in found if _compared(t) in varied and t.first.changed <= {option}]
    rows = []
    for value in sorted({*usual, *(_value(t, option) for t in held)}):
        ours = [t for t in held if _value(t, option) == value]
        rows += _lines((f"{value:g}", UNKNOWN), ours)
    unknown = "paper: its figures of this table are not known to us; it settles on T=2, r=0.25."
    columns = (symbol, "paper", *OURS_COLUMNS)
    return Sheet(title, columns, tuple(rows), (unknown, *notes(held)))


def _compared(trial: Trial) -> tuple[str, str]:
    return trial.first.series, trial.first.head


def _value(trial: Trial, option: str) -> float:
    return float(getattr(trial.first.memory, option)) if trial.first.remembers else 0


def _lines(start: tuple[str, ...], ours: Sequence[Trial]) -> list[tuple[str, ...]]:
    """A row for each trial behind ``start``, or one that says that there is none."""
    if not ours:
        return [(*start, *[UNKNOWN] * len(OURS_COLUMNS))]
    return [(*start, *scores(trial), trial.first.name, trial.first.series) for trial in ours]


def trained_alike(found: Sequence[Trial]) -> list[Trial]:
    """Without those that were trained otherwise than their series' plain network."""
    usual = {_compared(t): t.first.training for t in found if not t.first.remembers}
    return [t for t in found if t.first.training == usual.get(_compared(t), t.first.training)]


def all_runs(found: Sequence[Trial]) -> Sheet:
    """Every trial of ours, those that no table of the paper has too."""
    rows = [(t.first.series, t.first.head, t.first.name, *scores(t)) for t in found]
    columns = ("series", "head", "run", *SCORES, "seeds")
    return Sheet("All our runs", columns, tuple(rows), notes(found))


def scores(trial: Trial) -> tuple[str, ...]:
    """The cells under SCORES, and how many seeds they are of."""
    remembers = trial.first.remembers
    averages = (
        trial.average("test", "with"),
        trial.average("test", "off") if remembers else None,
        trial.average("val", "with"),
        trial.average("val", "off") if remembers else None,
        trial.average("val", "with", "vc8"),
    )
    seeds = len(trial.runs)
    return (*(_told(average, seeds) for average in averages), f"{seeds}")


def _told(average: Average | None, seeds: int) -> str:
    """With how many seeds it is of, where not all have that number."""
    if average is None:
        return UNKNOWN
    return f"{average}" if average.n == seeds else f"{average} (n={average.n})"


def notes(found: Sequence[Trial]) -> tuple[str, ...]:
    """What differs from the paper, and what was trained how in each series."""
    if not found:
        return (PAPER_SETTING, "No run of ours fits here yet: our columns are empty.")
    settings = dict.fromkeys(
        f"{run.series}: {run.setting}; from {run.start}, {run.iterations} iterations"
        for trial in found
        for run in trial.runs
    )
    return PAPER_SETTING, OURS, *settings


def table_4() -> Sheet:
    """What memory adds to a frame, as the paper counts and in truth."""
    trunk, _ = costs.trunk_maps()
    rows = []
    for frames in costs.FRAMES:
        for ratio in costs.RATIOS:
            cost = costs.memory_cost(frames, ratio)
            figures = (cost.printed, cost.counted, cost.full, cost.strided, cost.ours)
            share = f"{100 * cost.ours / trunk:.1f} %"
            rows.append((f"{frames}", f"{ratio:g}", *(f"{g:.2f}" for g in figures), share))
    columns = ("T", "r", "paper", "alike", "full", "strided", "ours", "of trunk")
    return Sheet(
        "Table 4: what memory adds, G of MACs a frame, 640x640, output stride 8, stages 1-3",
        columns,
        tuple(rows),
        (
            "paper: by the closed form 2 * 45.2985 r² + 21.62688 r T, which fits its nine cells "
            "within 0.015.",
            "alike: our modules, by the paper's rule: the key convolution at full "
            "resolution and twice, attention at half resolution.",
            "full: true MACs, that convolution once, as the release computes it. strided: by "
            "stride 2 instead. ours: a whole step, keys padded to the values' width besides.",
            f"Trunk: ResNet50-vd, {trunk:.2f} G, {costs.trunk_parameters():,} parameters.",
        ),
    )


def head_table() -> Sheet:
    rows = tuple(
        (cost.head, f"{cost.parameters / 1e6:.2f} M", f"{cost.cost:.1f}")
        for cost in costs.head_costs()
    )
    title = "Heads: 640x640, output stride 8, 11 classes, without their auxiliary loss"
    return Sheet(title, ("head", "parameters", "G of MACs"), rows)


def sheets(folder: Path) -> list[Sheet]:
    """All tables in order. Raises DataError for a file in ``folder`` that is no run."""
    found = trials(read_runs(folder))
    alike = trained_alike(found)
    of_runs = [table_1(alike), table_2(alike), table_3(alike)]
    if found:
        of_runs.append(all_runs(found))
    return [*of_runs, table_4(), head_table()]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m training.tables",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of runs' JSON files")
    parser.add_argument("--markdown", action="store_true", help="for a README")
    given = parser.parse_args(arguments)
    try:
        made = sheets(given.results)
    except (DataError, OSError) as error:
        print(f"training.tables: {error}", file=sys.stderr)
        return 1
    if not given.results.is_dir():
        print(f"training.tables: no results yet, {given.results} is absent", file=sys.stderr)
    if given.markdown:
        print("\n".join(map(in_markdown, made)))
        return 0
    console = Console(width=ROOM)
    for sheet in made:
        console.print(on_screen(sheet))
    return 0


if __name__ == "__main__":
    sys.exit(main())
