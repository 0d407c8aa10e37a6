"""What one training run was told; kept in its checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

PRECISIONS = ("fp32", "bf16", "fp16")
OPTIMISERS = ("adamw", "sgd")

LEAST = {"iterations": 1, "batch": 1, "clip_length": 1, "memory_stride": 1}

BEFORE = {"lovasz": 0.0, "memory_rate": 1.0, "dropout": 0.0}
"""What fields that were added later amount to in settings without them."""


@dataclass(frozen=True)
class TrainSettings:
    """Everything beside the architecture that decides a run's result.

    Learning rates are the head's; the trunk's is ``trunk_rate`` times as large, the memory's
    ``memory_rate`` times. ``still`` is the share of clips that are made of one drifting picture.
    ``tone`` is the strength of the drawn light (:class:`training.data.augment.AugmentOptions`),
    ``mix`` the share of clips that show a rectangle of another (CutMix).
    ``drop_path`` is how often the trunk's last block is left out, the first never; ``dropout`` how
    often a value of DeepLabV3+'s context is. Other heads leave out whole channels as published.
    ``lovasz`` weighs the Lovász-Softmax loss beside cross-entropy.
    ``frozen_stages`` counts trunk stages (with the stem) that keep their weights. ``precision`` is
    autocast's; weights, memory and loss are float32 in all of them.
    """

    iterations: int = 1200
    batch: int = 4
    clip_length: int = 4
    memory_stride: int = 1
    crop: tuple[int, int] = (256, 352)
    scale: tuple[float, float] = (0.6, 1.4)
    still: float = 0.0
    tone: float = 0.0
    mix: float = 0.0
    drop_path: float = 0.0
    dropout: float = 0.1
    optimiser: str = "adamw"
    rate: float = 5e-4
    final_rate: float = 0.0
    trunk_rate: float = 0.3
    memory_rate: float = 5.0
    weight_decay: float = 0.02
    warm_up: int = 40
    class_balance: float = 0.5
    lovasz: float = 1.0
    frozen_stages: int = 1
    frozen_norm: bool = True
    average: float = 0.995
    precision: str = "fp32"
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} is at least {least}, not {getattr(self, name)}")
        for name, allowed in (("precision", PRECISIONS), ("optimiser", OPTIMISERS)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"{name} is one of {', '.join(allowed)}, not {getattr(self, name)}"
                )
        if not 0 <= self.frozen_stages <= 4:
            raise ValueError(f"frozen_stages is 0 to 4, not {self.frozen_stages}")
        for name in ("still", "tone", "mix"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is 0 to 1, not {getattr(self, name)}")
        for name in ("average", "drop_path", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 0 and below 1, not {getattr(self, name)}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> TrainSettings:
        """What :meth:`to_dict` made, by an older version too: fields that it lacks had no effect
        then."""
        pairs: dict[str, Any] = {
            key: tuple(given[key]) for key in ("crop", "scale") if key in given
        }
        try:
            return cls(**{**BEFORE, **given, **pairs})
        except TypeError as error:
            raise ValueError(f"settings of another version of mastream: {error}") from error


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
        memory_rate=1.0,
        lovasz=0.0,
        frozen_stages=0,
        frozen_norm=False,
        average=0.0,
    ),
}

FREEZES = {"trunk": {"frozen_stages": 4, "frozen_norm": True}}
"""By name: what keeps its weights and statistics, as changes of a recipe."""


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


def rate_shares(settings: TrainSettings) -> dict[str, float]:
    """What part of the network learns at how much of :func:`learning_rate`."""
    return {"head": 1.0, "trunk": settings.trunk_rate, "memory": settings.memory_rate}
