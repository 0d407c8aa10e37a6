"""Run clips through a model, with its memory in one or several modes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import cv2
import numpy as np

from models.segmenter import Segmenter
from server.sources.pictures.picture import fit
from training.data.clips import Clip, Sample, read_image, read_label
from training.data.labels import Labels
from training.scoring.metrics import confusion, mean_iou
from training.scoring.steppers import NetworkStepper, Pixels, Stepper


class Mode(StrEnum):
    """The content of memory for each frame.

    ``with``: the previous frames of the clip. ``off``: always empty, so PCMA is bypassed.
    ``reset``: emptied before each frame, which by design is the same as ``off``, since the contents
    of empty slots never matter. ``itself``: full of this same frame, which separates the effect of
    attention to the frame itself from that of earlier frames.
    """

    WITH = "with"
    OFF = "off"
    RESET = "reset"
    ITSELF = "itself"


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of one mode for a frame.

    ``mask`` is labels (h, w) at the truth's size, ``judge`` the judge's statistic (eq. 4) by stage.
    """

    mask: Labels
    judge: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Shot:
    """A labelled frame and the answer of each mode.

    ``index`` is its position in the clip. ``image`` is uint8 RGB (h, w, 3) as stored, ``truth``
    (h, w) class indices or VOID.
    """

    sample: Sample
    index: int
    dense: bool
    image: Pixels
    truth: Labels
    answers: Mapping[Mode, Answer]


def run(stepper: Stepper, clips: Sequence[Clip], modes: Sequence[Mode]) -> Iterator[Shot]:
    """Yield every frame of every clip in order; all memories are empty at the start of a clip.

    Raises DataError if a picture or label cannot be read.
    """
    for clip in clips:
        memories = {mode: stepper.blank() for mode in modes}
        for index, sample in enumerate(clip.samples):
            image, truth = read_image(sample), read_label(sample)
            frame = fit(image, stepper.height, stepper.width)
            answers = {}
            for mode in modes:
                remembered = REMEMBERED[mode](stepper, frame, memories[mode])
                stepped = stepper.step(frame, remembered)
                memories[mode] = stepped.memory
                answers[mode] = Answer(at_truth(stepped.mask, truth), stepped.judge)
            yield Shot(sample, index, clip.dense, image, truth, answers)


def validate(
    network: Segmenter, clips: Sequence[Clip], classes: int, size: tuple[int, int]
) -> float:
    """Return the dataset-level mean IoU (eq. 6), 0..1, of a network in eval mode, with memory.

    ``size`` is the (height, width) at which the network runs.
    """
    matrix = np.zeros((classes, classes), np.int64)
    for shot in run(NetworkStepper("validation", network, size), clips, [Mode.WITH]):
        matrix += confusion(shot.truth, shot.answers[Mode.WITH].mask, classes)
    return mean_iou(matrix)


def filled_with(stepper: Stepper, frame: Pixels) -> Any:
    """Return a full memory in which every entry is this frame's."""
    memory = stepper.blank()
    for _ in range(stepper.frames):
        memory = stepper.step(frame, memory).memory
    return memory


REMEMBERED: dict[Mode, Callable[[Stepper, Pixels, Any], Any]] = {
    Mode.WITH: lambda _stepper, _frame, held: held,
    Mode.OFF: lambda stepper, _frame, _held: stepper.blank(),
    Mode.RESET: lambda stepper, _frame, held: stepper.forget(held),
    Mode.ITSELF: lambda stepper, frame, _held: filled_with(stepper, frame),
}
"""From stepper, frame and the memory after the mode's last step to the memory for this frame."""


def at_truth(mask: Labels, truth: Labels) -> Labels:
    """Return a mask (h, w) at the truth's size.

    It does not use OpenCV's INTER_NEAREST, which would shift it by half a pixel.
    """
    height, width = truth.shape
    scaled = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(scaled, np.uint8)
