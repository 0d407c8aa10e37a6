"""Print the paper's tables next to our own costs and scores: ``python -m training.tables``.

The column ``paper`` holds the cells as the paper prints them (experiments/paper.py). Our costs in
Table 4 are counted from our modules; our scores in Tables 1, 2 (over T), 3 (over r) and 5 (methods)
are the results of our runs, one JSON file per run (experiments/runs.py).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from models.options import MemoryOptions
from training.data.datasets import DataError
from training.experiments import paper
from training.experiments.cost_sheets import head_table, table_4
from training.experiments.runs import Average, Trial, read_runs, trials
from training.experiments.sheet import CONSOLE_WIDTH, UNKNOWN, Sheet, in_markdown, on_screen

RESULTS = Path(__file__).parent / "results"
USUAL = MemoryOptions()

OURS = (
    "ours: mIoU in % over the whole split, mean ± standard deviation over seeds; off: the same "
    "weights with every memory empty; VC8: consistency over 8 frames of the dense val clip."
)

SCORES = ("test", "test off", "val", "val off", "VC8")
OURS_COLUMNS = (*SCORES, "seeds", "run", "series")
EMPTY = (UNKNOWN,) * len(OURS_COLUMNS)
"""The cells of a row without a result of ours."""


def table_1(found: Sequence[Trial]) -> Sheet:
    """Return Table 1, every head on ResNet-50 and MA-ResNet50: the paper's cells and our series."""
    rows, held = [], []
    for line in paper.TABLE_1:
        for encoder, cell, gain in (
            ("ResNet50", line.plain, UNKNOWN),
            ("MA-ResNet50", line.remembering, f"{line.gain:+}"),
        ):
            ours = [t for t in found if _of_table_1(t, line, cell is line.remembering)]
            printed = (f"{cell.miou}", gain, f"{cell.fps}")
            rows += _lines((line.dataset, line.head, encoder, *printed), ours)
            held += ours
    columns = ("dataset", "head", "encoder", "paper", "its gain", "its fps", *OURS_COLUMNS)
    remarks = ("its fps: on one V100; the paper does not say how it was timed.", *notes(held))
    return Sheet("Table 1: mIoU by head and encoder", columns, tuple(rows), remarks)


def _of_table_1(trial: Trial, line: paper.Comparison, remembers: bool) -> bool:
    run = trial.first
    same = (run.dataset, run.head, run.remembers) == (line.dataset, line.head, remembers)
    return same and not run.changed


def table_2(found: Sequence[Trial]) -> Sheet:
    """Return Table 2, mIoU over the memory's length; T=0 is the encoder without memory."""
    title = f"Table 2: mIoU over T, r={USUAL.ratio:g}"
    return _sweep(found, title, "T", "frames", paper.TABLE_2)


def table_3(found: Sequence[Trial]) -> Sheet:
    """Return Table 3, mIoU over the share of channels; r=0 is the encoder without memory."""
    title = f"Table 3: mIoU over r, T={USUAL.frames}"
    return _sweep(found, title, "r", "ratio", paper.TABLE_3)


def _sweep(
    found: Sequence[Trial], title: str, symbol: str, option: str, printed: Sequence[paper.Sweep]
) -> Sheet:
    """Return a table with a row per value: the paper's cells next to our series.

    The series are those that vary ``option``. Those for which the paper prints nothing come last.
    """
    varied = {_compared(t) for t in found if t.first.changed == {option}}
    held = [t for t in found if _compared(t) in varied and t.first.changed <= {option}]
    cells = {(line.dataset, line.head): line.miou for line in printed}
    usual = printed[0].miou
    rows = []
    for subject in dict.fromkeys([*cells, *map(_subject, held)]):
        ours = [t for t in held if _subject(t) == subject]
        theirs = cells.get(subject, {})
        for value in sorted({*usual, *(_value(t, option) for t in ours)}):
            cell = f"{theirs.get(value, UNKNOWN)}"
            same = [t for t in ours if _value(t, option) == value]
            rows += _lines((*subject, f"{value:g}", cell), same)
    columns = ("dataset", "head", symbol, "paper", *OURS_COLUMNS)
    return Sheet(title, columns, tuple(rows), notes(held))


def _compared(trial: Trial) -> tuple[str, str]:
    return trial.first.series, trial.first.head


def _subject(trial: Trial) -> tuple[str, str]:
    return trial.first.dataset, trial.first.head


def _value(trial: Trial, option: str) -> float:
    return float(getattr(trial.first.memory, option)) if trial.first.remembers else 0


def table_5(found: Sequence[Trial]) -> Sheet:
    """Return Table 5: methods on CamVid as the paper prints them, then our MA-ResNet50 series."""
    rows = [(line.name, f"{line.miou}", *EMPTY) for line in paper.TABLE_5]
    ours = [t for t in found if t.first.dataset == "camvid" and t.first.remembers]
    held = [t for t in ours if not t.first.changed]
    for trial in held:
        rows += _lines((f"ours: MA-ResNet50, {trial.first.head}", UNKNOWN), [trial])
    columns = ("method", "paper", *OURS_COLUMNS)
    return Sheet("Table 5: mIoU on CamVid by method", columns, tuple(rows), notes(held))


def _lines(start: tuple[str, ...], ours: Sequence[Trial]) -> list[tuple[str, ...]]:
    """Return a row per trial, each starting with ``start``, or one row without results."""
    if not ours:
        return [(*start, *EMPTY)]
    return [(*start, *scores(trial), trial.first.name, trial.first.series) for trial in ours]


def trained_alike(found: Sequence[Trial]) -> list[Trial]:
    """Return the trials with the same training settings as their series' network without memory."""
    usual = {_compared(t): t.first.training for t in found if not t.first.remembers}
    return [t for t in found if t.first.training == usual.get(_compared(t), t.first.training)]


def all_runs(found: Sequence[Trial]) -> Sheet:
    """Return a table of all our trials, including those in no table of the paper."""
    rows = [(t.first.series, t.first.head, t.first.name, *scores(t)) for t in found]
    columns = ("series", "head", "run", *SCORES, "seeds")
    return Sheet("All our runs", columns, tuple(rows), notes(found))


def scores(trial: Trial) -> tuple[str, ...]:
    """Return the cells for SCORES and the number of seeds."""
    remembers = trial.first.remembers
    averages = (
        trial.average("test", "with"),
        trial.average("test", "off") if remembers else None,
        trial.average("val", "with"),
        trial.average("val", "off") if remembers else None,
        trial.average("val", "with", "vc8"),
    )
    seeds = len(trial.runs)
    return (*(_shown(average, seeds) for average in averages), f"{seeds}")


def _shown(average: Average | None, seeds: int) -> str:
    """Return the average as text, with the number of seeds if some lack this score."""
    if average is None:
        return UNKNOWN
    return f"{average}" if average.n == seeds else f"{average} (n={average.n})"


def notes(found: Sequence[Trial]) -> tuple[str, ...]:
    """Return notes on the paper's setting and on how each series was trained."""
    if not found:
        return (paper.SETTING, "No run of ours fits here yet: our columns are empty.")
    settings = dict.fromkeys(
        f"{run.series}: {run.setting}; from {run.start}, {run.iterations} iterations"
        for trial in found
        for run in trial.runs
    )
    return paper.SETTING, OURS, *settings


def sheets(folder: Path) -> list[Sheet]:
    """Return all tables in order. Raises DataError if a file in ``folder`` is not a run."""
    found = trials(read_runs(folder))
    alike = trained_alike(found)
    papers = [table_1(alike), table_2(alike), table_3(alike), table_4(), table_5(alike)]
    return [*papers, *([all_runs(found)] if found else []), head_table()]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        "python -m training.tables",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--results", type=Path, default=RESULTS, help="folder of the runs' JSON files"
    )
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    given = parser.parse_args(arguments)
    try:
        made = sheets(given.results)
    except (DataError, OSError) as error:
        print(f"training.tables: {error}", file=sys.stderr)
        return 1
    if not given.results.is_dir():
        print(
            f"training.tables: There are no results yet, since {given.results} does not exist.",
            file=sys.stderr,
        )
    if given.markdown:
        print("\n".join(map(in_markdown, made)))
        return 0
    console = Console(width=CONSOLE_WIDTH)
    for sheet in made:
        console.print(on_screen(sheet))
    return 0


if __name__ == "__main__":
    sys.exit(main())
