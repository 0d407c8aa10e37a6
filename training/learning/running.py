"""Train a network from its settings to its last checkpoint: :func:`run`.

On a CPU the result is a pure function of recipe, settings, data and start: if the process is killed
at any moment, the same call continues from the last checkpoint to the same result, bit for bit.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.build import Recipe
from training.data.batches import augmentation, plan_run
from training.data.datasets import Clip, Dataset
from training.data.loading import Batch, load
from training.learning.beginning import balance, begin, device_name, open_device
from training.learning.keeping import Best, Keeper, versions
from training.learning.learner import Learner
from training.learning.lesson import Lesson, lesson
from training.learning.progress import Bar, Board
from training.learning.validation import ValidationOptions, Validator, validator
from training.settings import TrainSettings

WORKERS = {"cpu": 0, "cuda": 4}
"""Threads that prepare batches, by type of device; on a CPU they would take time from training."""


class TrainingError(ValueError):
    """The run cannot continue; the message says what to change."""


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to carry out a run; on a CPU the resulting weights do not depend on it.

    ``device`` is ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; ``every`` is the number of iterations
    between checkpoints; ``workers`` is the number of threads that prepare batches, None for the
    device's default.
    """

    device: str = "auto"
    every: int = 100
    workers: int | None = None
    validation: ValidationOptions = field(default_factory=ValidationOptions)


def run(
    recipe: Recipe,
    settings: TrainSettings,
    dataset: Dataset,
    start: Path | None,
    out: Path,
    options: RunOptions | None = None,
) -> Path:
    """Train to the end, resuming from ``out/last.pt`` if it exists; return that file's path.

    ``out`` gets ``last.pt``, TensorBoard's ``events`` and, with validation, ``best.pt``. Raises
    DataError if the data cannot be read or ``out`` is another run's, CheckpointError or SpecError
    if ``start`` cannot be used, TrainingError if the loss is not finite, ValueError if the device
    is missing or the batch too small.
    """
    options = options or RunOptions()
    device = open_device(options.device)
    clips = dataset.clips("train")
    look = validator(options.validation, dataset)
    torch.manual_seed(settings.seed)
    network, weights = begin(recipe, start, clips, settings.crop), balance(clips, recipe, settings)
    learner = Learner(network, settings, weights, device)
    keeper = Keeper(out, recipe, settings, origin(dataset, start, options, device))
    best = keeper.resume(learner)
    with closing(train(learner, clips, options.workers)) as lessons:
        _keep_all(learner, lessons, keeper, best, look, options)
    return keeper.last


def _keep_all(
    learner: Learner,
    lessons: Iterable[Lesson],
    keeper: Keeper,
    best: Best,
    look: Validator | None,
    options: RunOptions,
) -> None:
    """Show every lesson; validate and write checkpoints when they are due."""
    settings, start = learner.settings, learner.iteration
    with Bar(settings.iterations, start) as bar, Board(keeper.folder / "events", start) as board:
        for taught in lessons:
            bar.show(taught)
            board.show(taught, settings)
            ends = taught.iteration >= settings.iterations
            if look and (ends or taught.passes(options.validation.every)):
                found = Best(look(learner.averaged()), taught.iteration)
                bar.print(f"iteration {found.iteration} mIoU {100 * found.miou:.2f} %")
                board.write(found.iteration, {"validation/miou": found.miou})
                best = keeper.keep_better(learner, found, best)
            if ends or taught.passes(options.every):
                board.flush()
                keeper.keep_last(learner, best)


def origin(
    dataset: Dataset, start: Path | None, options: RunOptions, device: torch.device
) -> dict[str, Any]:
    """Return what checkpoints store about the origin of a run, besides recipe and settings."""
    return {
        "dataset": dataset.name,
        "start": start.name if start else "",
        "start_sha256": content(start) if start else "",
        "options": asdict(options),
        "device": device_name(device),
        "versions": versions(),
    }


def content(path: Path) -> str:
    """Return the SHA-256 of a file, which identifies it whatever its name. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def train(learner: Learner, clips: Sequence[Clip], workers: int | None = None) -> Generator[Lesson]:
    """Train from the learner's iteration to the last one and yield a lesson per batch of clips.

    The learner's state is complete only between batches, since it does not include the memory.
    """
    settings, on = learner.settings, learner.device.type
    length = settings.clip_length
    batches = islice(
        plan_run(clips, settings), learner.iteration // length, -(-settings.iterations // length)
    )
    augment = augmentation(settings)
    threads = WORKERS[on] if workers is None else workers
    with closing(load(batches, augment, threads, pinned=on == "cuda")) as loaded:
        for batch in loaded:
            yield teach(learner, batch)


def teach(learner: Learner, batch: Batch) -> Lesson:
    """Train on one batch of clips, with memory passed from one time step to the next.

    The random draws of layers also depend only on seed and iteration. Raises TrainingError if the
    loss is not finite.
    """
    start, memory, instants = learner.iteration, learner.blank(), []
    drawn = np.random.SeedSequence((learner.settings.seed, start)).generate_state(1)
    torch.manual_seed(int(drawn[0]))
    for step in batch:
        learned, memory = learner.learn(step.to(learner.device), memory)
        instants.append(learned)
    taught = lesson(start, instants)
    if not math.isfinite(taught.loss):
        raise TrainingError(
            f"The loss is {taught.loss} at iteration {taught.iteration}; "
            "try a lower --rate, a longer --warm-up or --precision fp32."
        )
    return taught
