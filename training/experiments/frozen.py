"""Train runs that share one frozen trunk: only head and memory learn, on maps computed once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, count, islice
from pathlib import Path

import numpy as np
import torch

from models.build import Recipe, build
from models.segmenter import Segmenter
from training.data.batches import Window, augmentation, plan_epoch
from training.data.datasets import Clip
from training.data.loading import make_batch
from training.learning.beginning import open_start
from training.learning.learner import Learner
from training.learning.lesson import Lesson
from training.learning.reach import silence_unreached
from training.learning.running import teach
from training.settings import TrainSettings

DRAWS = 6
"""The number of augmentations per piece of a clip: so many that all their maps fit on a disk."""


def plan(clips: Sequence[Clip], settings: TrainSettings) -> list[Window]:
    """Return all windows of DRAWS epochs; they and their augmentation are the same for all runs."""
    length, stride = settings.clip_length, settings.memory_stride
    epochs = (plan_epoch(clips, length, stride, 1, 0, epoch) for epoch in range(DRAWS))
    return [window for batch in chain.from_iterable(epochs) for window in batch]


def deal(windows: Sequence[Window], settings: TrainSettings) -> Iterator[list[Window]]:
    """Yield full batches without end, in an order that depends on the seed."""
    batch = settings.batch
    for lap in count():
        order = np.random.default_rng((settings.seed, lap)).permutation(len(windows))
        for start in range(0, len(order) - batch + 1, batch):
            yield [windows[i] for i in order[start : start + batch]]


def begin(recipe: Recipe, start: Path, clips: Sequence[Clip], settings: TrainSettings) -> Segmenter:
    """Return a network with the trunk of ``start`` and, if the recipe has the same one, its head.

    Everything else is initialised with the seed; in a fresh head the taps that no crop reaches
    are 0. Raises ValueError if a setting changes what the trunk computes, and as
    :func:`open_start`.
    """
    for name in ("mix", "drop_path"):
        if getattr(settings, name):
            raise ValueError(
                f"Set {name} to 0: it changes what the trunk computes, which is frozen here."
            )
    torch.manual_seed(settings.seed)
    network = build(recipe)
    silence_unreached(network, settings.crop)
    given, theirs = open_start(start, clips)
    network.encoder.trunk.load_state_dict(given.encoder.trunk.state_dict())
    if theirs.head == recipe.head:
        network.head.load_state_dict(given.head.state_dict())
    return network


def train(learner: Learner, clips: Sequence[Clip]) -> Iterator[Lesson]:
    """Train head and memory of a learner whose network has a MemoTrunk."""
    settings = learner.settings
    augment = augmentation(settings)
    dealt = deal(plan(clips, settings), settings)
    for windows in islice(dealt, settings.iterations // settings.clip_length):
        yield teach(learner, make_batch(windows, augment, pinned=False))
