"""The settings of a training run, which its checkpoints store."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

PRECISIONS = ("fp32", "bf16", "fp16")
OPTIMISERS = ("adamw", "sgd")

LEAST = {"iterations": 1, "batch": 1, "clip_length": 1, "memory_stride": 1}
"""The smallest allowed value of each field."""

BEFORE = {"lovasz": 0.0, "memory_rate": 1.0, "dropout": 0.0}
"""The values of later fields that reproduce settings stored without them."""


@dataclass(frozen=True)
class TrainSettings:
    """Everything except the architecture that determines the result of a run.

    Learning rates are those of the head; the trunk's is ``trunk_rate`` times as large, the memory's
    ``memory_rate`` times. ``crop`` is (height, width) in pixels. ``still`` is the share of clips
    that are made of one drifting picture, ``tone`` the strength of random changes in lighting
    (:class:`training.data.augment.AugmentOptions`), ``mix`` the share of clips with a rectangle of
    another clip (CutMix). ``drop_path`` is the probability of skipping the trunk's last block; it
    falls to 0 for the first. ``dropout`` is the probability of dropping a value of DeepLabV3+'s
    context; other heads drop whole channels, as published. ``lovasz`` is the weight of the
    Lovász-Softmax loss relative to cross-entropy. ``frozen_stages`` is the number of trunk stages
    that, with the stem, keep their weights. ``precision`` is that of autocast; weights, memory and
    loss are always float32.

    Raises ValueError if a value is out of range.
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
                raise ValueError(f"Set {name} to at least {least}, not {getattr(self, name)}.")
        for name, allowed in (("precision", PRECISIONS), ("optimiser", OPTIMISERS)):
            if getattr(self, name) not in allowed:
                raise ValueError(
                    f"Set {name} to one of {', '.join(allowed)}, not {getattr(self, name)}."
                )
        if not 0 <= self.frozen_stages <= 4:
            raise ValueError(
                f"Set frozen_stages to a number from 0 to 4, not {self.frozen_stages}."
            )
        for name in ("still", "tone", "mix"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"Set {name} to a value from 0 to 1, not {getattr(self, name)}.")
        for name in ("average", "drop_path", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"Set {name} to at least 0 and below 1, not {getattr(self, name)}."
                )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, given: dict[str, Any]) -> TrainSettings:
        """Read the result of :meth:`to_dict`, also of an older version.

        Fields that it lacks get the values that have no effect. Raises ValueError if a field is
        unknown or a value out of range.
        """
        pairs: dict[str, Any] = {
            key: tuple(given[key]) for key in ("crop", "scale") if key in given
        }
        try:
            return cls(**{**BEFORE, **given, **pairs})
        except TypeError as error:
            raise ValueError(
                f"The settings were written by another version of mastream; use that one ({error})."
            ) from error


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
"""By name: the changes of a recipe that freeze a part's weights and statistics."""


def recipe_settings(name: str, **changes: Any) -> TrainSettings:
    """Return a named recipe with the given fields changed, unless they are None.

    Raises ValueError if the name is unknown or a value out of range.
    """
    if name not in RECIPES:
        raise ValueError(f"There is no recipe {name!r}; choose from {', '.join(RECIPES)}.")
    return replace(RECIPES[name], **{k: v for k, v in changes.items() if v is not None})


def learning_rate(settings: TrainSettings, iteration: int) -> float:
    """Return the head's rate: linear warm-up, then poly 0.9 from ``rate`` to ``final_rate``."""
    if iteration < settings.warm_up:
        return settings.rate * (iteration + 1) / settings.warm_up
    done = (iteration - settings.warm_up) / max(1, settings.iterations - settings.warm_up)
    fall = (1 - min(done, 1.0)) ** 0.9
    return float(settings.final_rate + (settings.rate - settings.final_rate) * fall)


def rate_shares(settings: TrainSettings) -> dict[str, float]:
    """Return each part's learning rate as a multiple of :func:`learning_rate`."""
    return {"head": 1.0, "trunk": settings.trunk_rate, "memory": settings.memory_rate}
