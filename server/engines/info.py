"""What is reported about an engine, and about the TensorRT plan in preparation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from models.spec import ModelSpec


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """An engine that is loaded and warmed up.

    ``provider`` is what actually runs the model; ``passed_over`` are the providers tried before,
    each with the reason why it failed. ``step_seconds`` is the time of a step by batch size,
    measured when the engine was warmed up; empty if it was not.
    """

    spec: ModelSpec
    provider: str
    max_batch: int
    device: str = "cpu"
    passed_over: tuple[str, ...] = ()
    step_seconds: Mapping[int, float] = field(default_factory=dict, compare=False)


PlanStage = Literal["off", "looking", "building", "loading", "serving", "failed"]


@dataclass(frozen=True, slots=True)
class PlanStatus:
    """The state of a service's TensorRT plan, as it is reported.

    ``percent`` is the progress of the build. ``detail`` is why there is no plan (off, failed), the
    build's phase, or the plan's file name.
    """

    stage: PlanStage
    percent: int = 0
    detail: str = ""
