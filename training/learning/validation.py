"""Validation during training: its frames, their size and the resulting mean IoU."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from models.segmenter import Segmenter
from training.data.datasets import Clip, Dataset, read_label
from training.scoring.passes import validate

Size = tuple[int, int]

GRANULE = 32
"""Heights and widths for the networks should be multiples of this."""


@dataclass(frozen=True, slots=True)
class ValidationOptions:
    """When and on what to validate.

    ``every`` is the number of iterations between validations (0: never), ``frames`` about the
    number of frames of ``split`` (0: all). ``size`` is the network's (height, width), by default
    that of the first frame, rounded down to multiples of 32.
    """

    every: int = 0
    split: str = "val"
    frames: int = 0
    size: Size | None = None


Validator = Callable[[Segmenter], float]
"""A function from a network in eval mode to its mean IoU, 0..1."""


def validator(options: ValidationOptions, dataset: Dataset) -> Validator | None:
    """Return the validator, or None if there is no validation.

    Raises DataError immediately if the split cannot be read.
    """
    if not options.every:
        return None
    clips = dataset.clips(options.split)
    size = options.size or own_size(clips)
    some, classes = shorten(clips, options.frames), len(dataset.classes)
    return partial(validate, clips=some, classes=classes, size=size)


def shorten(clips: Sequence[Clip], frames: int) -> list[Clip]:
    """Keep the first frames of every clip, about ``frames`` in total, in proportion to its length.

    At least one frame of each clip remains; 0 keeps all frames.
    """
    share = frames / sum(map(len, clips)) if frames and clips else 1.0
    return [Clip(clip.samples[: max(1, round(len(clip) * share))]) for clip in clips]


def own_size(clips: Sequence[Clip]) -> Size:
    """Return height and width of the first label, rounded down to multiples of 32, at least 32."""
    height, width = read_label(clips[0].samples[0]).shape
    return max(GRANULE, height // GRANULE * GRANULE), max(GRANULE, width // GRANULE * GRANULE)
