"""What one training run was told; kept in its checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class TrainSettings:
    """Everything beside the architecture that decides a run's result.

    Learning rates are those of the head and memory; the trunk's is ``trunk_rate`` times as large.
    ``still`` is the share of clips that are made of one drifting picture. ``frozen_stages`` counts
    trunk stages (with the stem) that keep their weights.
    """

    iterations: int = 1200
    batch: int = 4
    clip_length: int = 4
    memory_stride: int = 1
    crop: tuple[int, int] = (256, 352)
    scale: tuple[float, float] = (0.6, 1.4)
    still: float = 0.0
    optimiser: str = "adamw"
    rate: float = 5e-4
    final_rate: float = 0.0
    trunk_rate: float = 0.3
    weight_decay: float = 0.02
    warm_up: int = 40
    class_balance: float = 0.5
    frozen_stages: int = 1
    frozen_norm: bool = True
    average: float = 0.995
    seed: int = 0

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> TrainSettings:
        pairs: dict[str, Any] = {
            key: tuple(given[key]) for key in ("crop", "scale") if key in given
        }
        return cls(**{**given, **pairs})


RECIPES = {
    "default": TrainSettings(),
    # The paper's section 4.1: SGD, poly from 0.1 to 0.001, batch 2, plain cross-entropy.
    "paper": TrainSettings(
        batch=2,
        clip_length=2,
        optimiser="sgd",
        rate=0.1,
        final_rate=0.001,
        trunk_rate=1.0,
        weight_decay=4e-5,
        warm_up=0,
        class_balance=0.0,
        frozen_stages=0,
        frozen_norm=False,
        average=0.0,
    ),
}


def recipe_settings(name: str, **changes: Any) -> TrainSettings:
    """A named recipe with the fields that are not None changed."""
    if name not in RECIPES:
        raise ValueError(f"no recipe {name!r}; there are {', '.join(RECIPES)}")
    return replace(RECIPES[name], **{k: v for k, v in changes.items() if v is not None})


def learning_rate(settings: TrainSettings, iteration: int) -> float:
    """Linear warm-up, then poly with power 0.9 from ``rate`` to ``final_rate``."""
    if iteration < settings.warm_up:
        return settings.rate * (iteration + 1) / settings.warm_up
    done = (iteration - settings.warm_up) / max(1, settings.iterations - settings.warm_up)
    fall = (1 - min(done, 1.0)) ** 0.9
    return float(settings.final_rate + (settings.rate - settings.final_rate) * fall)
