"""Results of our own training runs: one JSON file a run, read, checked and averaged over seeds."""

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
    """Percentages of one split; ``vc8`` is None where its labels are not dense."""

    miou: float = Field(ge=0, le=100)
    accuracy: float | None = Field(None, ge=0, le=100)
    vc8: float | None = Field(None, ge=0, le=100)


class Run(BaseModel, frozen=True, extra="forbid"):
    """One training run. ``options`` are those of its memory, ``settings`` those of its training;
    ``series`` names runs that may be compared; ``results`` are by split, memory on and off."""

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
        """Its settings, whatever the seed."""
        return {name: told for name, told in self.settings.items() if name != "seed"}

    @property
    def changed(self) -> set[str]:
        """Which options of its memory are not the default's; none of a plain network."""
        usual, ours = asdict(MemoryOptions()), asdict(self.memory)
        return {name for name in usual if self.remembers and ours[name] != usual[name]}


@dataclass(frozen=True)
class Average:
    """Mean and sample standard deviation over ``n`` seeds; no deviation of a single one."""

    mean: float
    deviation: float | None
    n: int

    def __str__(self) -> str:
        spread = f" ± {self.deviation:.2f}" if self.deviation is not None else ""
        return f"{self.mean:.2f}{spread}"


@dataclass(frozen=True)
class Trial:
    """Runs that differ in their seed only."""

    runs: tuple[Run, ...]

    @property
    def first(self) -> Run:
        return self.runs[0]

    def average(self, split: str, memory: Memory, measure: str = "miou") -> Average | None:
        """Over the seeds that have this number; None where none has. A plain network's number
        counts for both, however it was filed."""
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
    """Every ``*.json`` of the folder, by name; none where there is no folder.

    Raises DataError naming the file that is no run.
    """
    return [read_run(path) for path in sorted(folder.glob("*.json"))]


def read_run(path: Path) -> Run:
    """One run, its settings in full: an older file lacks fields that were added later."""
    try:
        run = Run.model_validate_json(path.read_bytes())
        _ = run.memory
        settings = TrainSettings.from_dict(run.settings).to_dict() if run.settings else {}
    except (ValidationError, TypeError, ValueError) as error:
        raise DataError(f"{path} is not the result of a run: {error}") from error
    return run.model_copy(update={"settings": settings})


def trials(runs: Iterable[Run]) -> list[Trial]:
    """Runs put together that differ in their seed only, by series and in the order given.

    Raises DataError where two of them have the same seed: a result is counted once.
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
            raise DataError(f"two results of {same[0].series}, {same[0].name} have the same seed")
    together = [Trial(tuple(same)) for same in found.values()]
    return sorted(together, key=lambda trial: trial.first.series)
