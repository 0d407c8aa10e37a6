"""Validation while training: which frames, at which size, and the one figure that comes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from models.segmenter import Segmenter
from training.data.datasets import Clip, Dataset, read_label
from training.scoring.passes import validate

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


def validator(options: ValidationOptions, dataset: Dataset) -> Validator | None:
    """What to ask every now and then; None where it is never. Raises DataError at once."""
    if not options.every:
        return None
    clips = dataset.clips(options.split)
    size = options.size or own_size(clips)
    some, classes = shorten(clips, options.frames), len(dataset.classes)
    return partial(validate, clips=some, classes=classes, size=size)


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
