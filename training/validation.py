"""Validation while training: which frames, at which size, and the one figure that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.segmenter import Segmenter
from training import evaluate
from training.beginning import open_clips
from training.datasets import Clip, read_label
from training.metrics import mean_iou

Labels = NDArray[np.uint8]
Size = tuple[int, int]

GRANULE = 32
"""Networks here want heights and widths that are multiples of this."""


@dataclass(frozen=True, slots=True)
class ValidationOptions:
    """``every`` iterations (0: never) on ``frames`` frames (0: all) of ``split``, the network at
    ``size`` (height, width), by default the first frame's own, cut to a multiple of 32."""

    every: int = 0
    split: str = "val"
    frames: int = 0
    size: Size | None = None


Validator = Callable[[Segmenter], float]
"""A network in eval mode -> its mean IoU, a share."""


def validator(options: ValidationOptions, data: Path, classes: int) -> Validator | None:
    """What to ask every now and then; None where it is never. Raises DataError at once."""
    if not options.every:
        return None
    clips = open_clips(data, options.split)
    size = options.size or own_size(clips)
    return partial(validate, clips=shorten(clips, options.frames), classes=classes, size=size)


def validate(network: Segmenter, clips: Sequence[Clip], classes: int, size: Size) -> float:
    """Dataset-level mean IoU (eq. 6), a share, with memory; the network in eval mode, float32."""
    model = evaluate.Model("validation", *size, _stepper(network, size))
    return mean_iou(evaluate.evaluate(model, clips, classes, with_memory=True))


def _stepper(network: Segmenter, size: Size) -> evaluate.Step:
    device = network.mean.device

    @torch.inference_mode()
    def step(frame: Labels, memory: Any) -> tuple[Labels, Any]:
        held = memory or network.encoder.blank(1, *size, network.mean)
        mask, kept = network.step(torch.from_numpy(frame[None]).to(device), held)
        return mask[0].cpu().numpy(), kept

    return step


def shorten(clips: Sequence[Clip], frames: int) -> list[Clip]:
    """The first frames of every clip, in the clips' proportions, about ``frames`` in all.

    At least one frame of each clip stays; 0 keeps them all.
    """
    share = frames / sum(map(len, clips)) if frames and clips else 1.0
    return [Clip(clip.samples[: max(1, round(len(clip) * share))]) for clip in clips]


def own_size(clips: Sequence[Clip]) -> Size:
    """Height and width of the first label, cut to multiples of 32."""
    height, width = read_label(clips[0].samples[0]).shape
    return max(GRANULE, height // GRANULE * GRANULE), max(GRANULE, width // GRANULE * GRANULE)
