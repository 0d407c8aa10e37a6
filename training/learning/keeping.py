"""A run's folder: ``last.pt`` to go on from, ``best.pt`` to use."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from models import checkpoint
from models.build import Recipe
from training.data.datasets import DataError
from training.learning.learner import Learner
from training.settings import TrainSettings

ORIGIN = {"dataset": "dataset", "start_sha256": "start"}
"""What decides a run beside recipe and settings, and the word for it; older files lack some."""


@dataclass(frozen=True, slots=True)
class Best:
    """The best validation so far: mean IoU, a share, and the iteration it was seen at."""

    miou: float = 0.0
    iteration: int = 0


class Keeper:
    """Writes and takes up a run's checkpoints. ``more`` is kept in each beside the settings.

    What is best is known by ``last.pt`` alone: killed after ``best.pt`` and before ``last.pt``, a
    run comes to that validation again, with the same result on CPU, and writes the same again.
    """

    def __init__(
        self, folder: Path, recipe: Recipe, settings: TrainSettings, more: Mapping[str, Any]
    ) -> None:
        self.folder = folder
        self.last, self.best = folder / "last.pt", folder / "best.pt"
        self.recipe = recipe
        self.settings = settings
        self.more = dict(more)

    def resume(self, learner: Learner) -> Best:
        """Bring the learner to where ``last.pt`` was written; it stays fresh where that is not.

        Raises DataError where that file was made with another recipe or other settings.
        """
        if not self.last.exists():
            return Best()
        kept = checkpoint.read(self.last)
        if other := ", ".join(self._differing(kept)):
            raise DataError(
                f"{self.last} was made with another {other}: give the same again, or another --out"
            )
        learner.restore(kept["weights"], kept["training"])
        return Best(**kept.get("best", {}))

    def _differing(self, kept: Mapping[str, Any]) -> list[str]:
        """What of a run that is not this one differs: settings by name, recipe, ORIGIN."""
        told = TrainSettings.from_dict(kept["settings"]).to_dict()
        differing = [name for name, value in self.settings.to_dict().items() if told[name] != value]
        if Recipe.from_dict(kept["recipe"]).to_dict() != self.recipe.to_dict():
            differing.append("model")
        ours = {name: self.more[name] for name in ORIGIN if name in self.more}
        return differing + [
            ORIGIN[name] for name in ours if kept.get(name, ours[name]) != ours[name]
        ]

    def keep_last(self, learner: Learner, best: Best) -> None:
        self._write(self.last, learner, best, training=learner.state())

    def keep_better(self, learner: Learner, found: Best, best: Best) -> Best:
        """Write ``best.pt`` (the averaged weights, nothing to go on from) where ``found`` is
        better than ``best``; returns the better one."""
        if found.miou > best.miou:  # NaN, where nothing is labelled, is not
            self._write(self.best, learner, found, training={"iteration": found.iteration})
            return found
        return best

    def _write(self, path: Path, learner: Learner, best: Best, training: dict[str, Any]) -> None:
        checkpoint.save(
            path,
            self.recipe,
            learner.average,
            settings=self.settings.to_dict(),
            training=training,
            best=asdict(best),
            **self.more,
        )


def versions() -> dict[str, str]:
    """What a result depends on beside the settings."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }
