"""Trial of a TensorRT plan before it serves: its masks are compared with its model's.

The largest fp16 number is 65504. A network whose activations exceed it stores inf or NaN in its
memory and returns one class everywhere; neither the build nor a step reports this.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from server.engines.base import Engine
from server.engines.info import EngineInfo
from server.errors import Fault
from server.frame import Labels, Pixels
from server.plans.wanted import on_plan
from server.settings import EngineSettings
from server.sources.synthetic import pictures

LIKE_ENOUGH = 0.5
"""Least share of pixels with the same label. A test pattern is full of near ties: the shipped model
in int8 and in float32 agree on 87 % of it, but on 98 % of a street."""

ADVICE = "set MASTREAM_ENGINE__PLAN=fp32 to build another, or off to use none"

APART = 8
"""Steps of the pattern between two pictures, so that the memory sees motion."""

log = logging.getLogger(__name__)


class VerifiedEngine:
    """Makes an engine, and rejects it if its masks differ too much from those of ``reference``.

    Only the first engine is tried, since one made again after a death is the same. Raises Fault if
    it is rejected, and any error of making either engine.
    """

    def __init__(self, make: Callable[[], Engine], reference: Callable[[], Engine]) -> None:
        self._make = make
        self._reference = reference
        self._trusted = False

    def __call__(self) -> Engine:
        engine = self._make()
        if self._trusted:
            return engine
        try:
            self._try(engine)
        except BaseException:
            engine.close()
            raise
        self._trusted = True
        return engine

    def _try(self, engine: Engine) -> None:
        spec = engine.spec
        frames = pictures(spec.height, spec.width, spec.memory_frames + 1, APART)
        found = follow(engine, frames)
        if not found.finite:
            raise Fault(f"The plan's memory overflows {spec.precision}: {ADVICE}.")
        with closing(self._reference()) as reference:
            share = agreement(found, follow(reference, frames))
        log.info("the plan and %s agree on %.1f %% of pixels", reference.provider, 100 * share)
        if share < LIKE_ENOUGH:
            raise Fault(
                f"The plan agrees with its model on only {share:.0%} of a test pattern: {ADVICE}."
            )


@dataclass(frozen=True, slots=True)
class Followed:
    """One stream's masks, frame by frame; ``finite``: no inf or NaN is in its final memory."""

    masks: list[Labels]
    finite: bool


def plan_maker(
    make: Callable[[EngineSettings], Engine],
    settings: EngineSettings,
    plan: Path,
    serving: EngineInfo,
) -> VerifiedEngine:
    """Return the maker of an engine that runs ``plan`` on the device of ``serving``; it compares
    the engine with the model on the CPU."""
    on_cpu = settings.model_copy(update={"provider": "cpu", "devices": "auto"})
    return VerifiedEngine(partial(make, on_plan(settings, plan, serving)), partial(make, on_cpu))


def follow(engine: Engine, frames: Sequence[Pixels]) -> Followed:
    """Run one stream through an engine, starting with an empty memory."""
    memory, masks = engine.blank(), []
    for frame in frames:
        (mask,), (memory,) = engine.step([frame], [memory])
        masks.append(mask)
    remembered = engine.save(memory).values()
    return Followed(masks, all(bool(np.isfinite(array).all()) for array in remembered))


def agreement(one: Followed, other: Followed) -> float:
    """Return the share of pixels with the same label."""
    return float(np.mean([a == b for a, b in zip(one.masks, other.masks, strict=True)]))
