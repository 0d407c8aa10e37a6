"""A TensorRT plan tried before it serves: are its masks those of the model it was built from?

fp16 ends at 65504. A network whose activations go beyond remembers what is no number and answers
one class everywhere, and neither the build nor a step reports it.
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
"""Of the pixels. A test pattern is full of near ties: the shipped model in int8 and in float32
agree on 87 % of it, and on 98 % of a street."""

ADVICE = "MASTREAM_ENGINE__PLAN=fp32 builds another, off does without"

APART = 8
"""Steps of the pattern between two pictures: memory is to see something move."""

log = logging.getLogger(__name__)


class VerifiedEngine:
    """Makes an engine, and refuses it where its masks are not about those of ``reference``.

    Once is enough: an engine that is made again after a death is the same. Raises Fault, or what
    making either raises.
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
            raise Fault(f"what it remembers is no number: it overflows {spec.precision}; {ADVICE}")
        with closing(self._reference()) as reference:
            share = agreement(found, follow(reference, frames))
        log.info("its masks agree with those of %s on %.1f %%", reference.provider, 100 * share)
        if share < LIKE_ENOUGH:
            raise Fault(f"it agrees with its model on {share:.0%} of a test pattern only; {ADVICE}")


@dataclass(frozen=True, slots=True)
class Followed:
    """One stream's labels (height, width), frame by frame; ``finite``: all that it remembers at
    the end is a number."""

    masks: list[Labels]
    finite: bool


def plan_maker(
    make: Callable[[EngineSettings], Engine],
    settings: EngineSettings,
    plan: Path,
    serving: EngineInfo,
) -> VerifiedEngine:
    """What makes the engine that runs ``plan`` where ``serving`` runs, tried against the CPU."""
    on_cpu = settings.model_copy(update={"provider": "cpu", "devices": "auto"})
    return VerifiedEngine(partial(make, on_plan(settings, plan, serving)), partial(make, on_cpu))


def follow(engine: Engine, frames: Sequence[Pixels]) -> Followed:
    """One stream through an engine, from an empty memory."""
    memory, masks = engine.blank(), []
    for frame in frames:
        (mask,), (memory,) = engine.step([frame], [memory])
        masks.append(mask)
    remembered = engine.save(memory).values()
    return Followed(masks, all(bool(np.isfinite(array).all()) for array in remembered))


def agreement(one: Followed, other: Followed) -> float:
    """On what share of the pixels both say the same."""
    return float(np.mean([a == b for a, b in zip(one.masks, other.masks, strict=True)]))
