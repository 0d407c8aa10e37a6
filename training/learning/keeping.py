"""A run's checkpoints: ``last.pt`` to resume from and ``best.pt`` to use."""

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
"""What determines a run in addition to recipe and settings, with the word for it in messages.

Older files lack some of these fields."""


@dataclass(frozen=True, slots=True)
class Best:
    """The best validation so far: its mean IoU, 0..1, and its iteration."""

    miou: float = 0.0
    iteration: int = 0


class Keeper:
    """Writes a run's checkpoints and resumes from them. Each also stores ``more``.

    Only ``last.pt`` records the best validation. A run that is killed after it wrote ``best.pt``
    and before ``last.pt`` repeats that validation, on a CPU with the same result, and writes the
    same file again.
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
        """Restore the learner from ``last.pt``, if it exists, and return the best validation.

        Raises DataError if that file was made with another recipe, other settings or another
        origin, CheckpointError if it cannot be read.
        """
        if not self.last.exists():
            return Best()
        kept = checkpoint.read(self.last)
        if other := ", ".join(self._differing(kept)):
            raise DataError(
                f"{self.last} was made with another {other}; give the same, or another --out."
            )
        learner.restore(kept["weights"], kept["training"])
        return Best(**kept.get("best", {}))

    def _differing(self, kept: Mapping[str, Any]) -> list[str]:
        """Return what differs from the run that wrote ``kept``: settings by name, model, origin."""
        theirs = TrainSettings.from_dict(kept["settings"]).to_dict()
        ours = self.settings.to_dict()
        differing = [name for name, value in ours.items() if theirs[name] != value]
        if Recipe.from_dict(kept["recipe"]).to_dict() != self.recipe.to_dict():
            differing.append("model")
        origin = {name: self.more[name] for name in ORIGIN if name in self.more}
        return differing + [
            ORIGIN[name] for name, value in origin.items() if kept.get(name, value) != value
        ]

    def keep_last(self, learner: Learner, best: Best) -> None:
        """Write ``last.pt``. Raises OSError."""
        self._write(self.last, learner, best, training=learner.state())

    def keep_better(self, learner: Learner, found: Best, best: Best) -> Best:
        """Write ``best.pt`` if ``found`` is better than ``best``; return the better one.

        The file holds the averaged weights; a run cannot resume from it.
        """
        if found.miou > best.miou:  # false for NaN, the mIoU if nothing is labelled
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
    """Return the versions of the software on which a result depends."""
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }
