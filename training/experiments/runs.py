"""Read the results of training runs, one JSON file per run, and average them over seeds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from models.options import MemoryOptions, memory_options
from training.data.datasets import DataError
from training.settings import TrainSettings

Memory = Literal["with", "off"]


class Score(BaseModel, frozen=True, allow_inf_nan=False):
    """Percentages on one split; ``vc8`` is None if its labels are not dense."""

    miou: float = Field(ge=0, le=100)
    accuracy: float | None = Field(None, ge=0, le=100)
    vc8: float | None = Field(None, ge=0, le=100)


class Run(BaseModel, frozen=True, extra="forbid"):
    """One training run.

    ``options`` are those of its memory, ``settings`` those of its training. Runs of the same
    ``series`` may be compared. ``results`` are by split, then with memory ``with`` or ``off``.
    """

    model: str
    dataset: str
    series: str
    name: str
    setting: str
    start: str
    seed: int
    iterations: int = Field(gt=0)
    options: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    results: dict[str, dict[Memory, Score]]

    @property
    def head(self) -> str:
        return self.model.partition("-")[0]

    @property
    def remembers(self) -> bool:
        return self.model.partition("-")[2].startswith("ma-")

    @property
    def memory(self) -> MemoryOptions:
        return memory_options("default", **self.options)

    @property
    def training(self) -> dict[str, Any]:
        """The training settings without the seed."""
        return {name: value for name, value in self.settings.items() if name != "seed"}

    @property
    def changed(self) -> set[str]:
        """The names of the memory options that are not the default's; none without memory."""
        usual, ours = asdict(MemoryOptions()), asdict(self.memory)
        return {name for name in usual if self.remembers and ours[name] != usual[name]}


@dataclass(frozen=True)
class Average:
    """Mean and sample standard deviation over ``n`` seeds; a single one has no deviation."""

    mean: float
    deviation: float | None
    n: int

    def __str__(self) -> str:
        spread = f" ± {self.deviation:.2f}" if self.deviation is not None else ""
        return f"{self.mean:.2f}{spread}"


@dataclass(frozen=True)
class Trial:
    """Runs that differ only in their seed."""

    runs: tuple[Run, ...]

    @property
    def first(self) -> Run:
        return self.runs[0]

    def average(self, split: str, memory: Memory, measure: str = "miou") -> Average | None:
        """Return the average over the seeds that have this number, or None if none has.

        A number of a network without memory counts for both values of ``memory``.
        """
        other: Memory = "off" if memory == "with" else "with"
        values = []
        for run in self.runs:
            of_split = run.results.get(split, {})
            score = of_split.get(memory) or (None if run.remembers else of_split.get(other))
            if score is not None and (value := getattr(score, measure)) is not None:
                values.append(value)
        if not values:
            return None
        return Average(mean(values), stdev(values) if len(values) > 1 else None, len(values))


def read_runs(folder: Path) -> list[Run]:
    """Read every ``*.json`` of the folder, by name; return none if the folder does not exist.

    Raises DataError, naming the file, if one is not the result of a run.
    """
    return [read_run(path) for path in sorted(folder.glob("*.json"))]


def read_run(path: Path) -> Run:
    """Read one run and complete its settings, since older files lack fields added later.

    Raises DataError if the file is not the result of a run.
    """
    try:
        run = Run.model_validate_json(path.read_bytes())
        _ = run.memory
        settings = TrainSettings.from_dict(run.settings).to_dict() if run.settings else {}
    except (ValidationError, TypeError, ValueError) as error:
        raise DataError(
            f"{path} is not the result of a run; remove it from the results ({error})."
        ) from error
    return run.model_copy(update={"settings": settings})


def trials(runs: Iterable[Run]) -> list[Trial]:
    """Group runs that differ only in their seed, by series and in the order given.

    Raises DataError if two of them have the same seed, since a result must count only once.
    """
    found: dict[str, list[Run]] = {}
    for run in runs:
        alike = run.model_dump(
            include={"series", "dataset", "model", "name", "iterations", "start"}
        )
        key = json.dumps([alike, run.options, run.training], sort_keys=True)
        found.setdefault(key, []).append(run)
    for same in found.values():
        seeds = [run.seed for run in same]
        if len(set(seeds)) < len(seeds):
            raise DataError(
                f"Two results of {same[0].series}, {same[0].name} have the same seed; remove one."
            )
    together = [Trial(tuple(same)) for same in found.values()]
    return sorted(together, key=lambda trial: trial.first.series)
