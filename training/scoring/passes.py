"""Clips through a model, its memory in one or several modes side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import cv2
import numpy as np

from models.segmenter import Segmenter
from server.sources.picture import fit
from training.data.clips import Clip, Sample, read_image, read_label
from training.data.labels import Labels
from training.scoring.metrics import confusion, mean_iou
from training.scoring.steppers import NetworkStepper, Pixels, Stepper


class Mode(StrEnum):
    """What a frame remembers.

    ``with``: the frames of its clip before it. ``off``: nothing, ever; PCMA is bypassed.
    ``reset``: nothing, its clip's memory being emptied before each frame; the same as ``off`` by
    design, since slots beyond the count never matter. ``itself``: a memory full of this very frame,
    so that what attention to one's own frame gives stands apart from what time gives.
    """

    WITH = "with"
    OFF = "off"
    RESET = "reset"
    ITSELF = "itself"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one mode said of a frame: labels (h, w) at the truth's size, the judge by stage."""

    mask: Labels
    judge: Mapping[int, float]


@dataclass(frozen=True, slots=True)
class Shot:
    """A labelled frame and each mode's answer. ``index`` is its place in its clip.

    ``image`` (h, w, 3) is as stored, ``truth`` (h, w) class indices or VOID.
    """

    sample: Sample
    index: int
    dense: bool
    image: Pixels
    truth: Labels
    answers: Mapping[Mode, Answer]


def run(stepper: Stepper, clips: Sequence[Clip], modes: Sequence[Mode]) -> Iterator[Shot]:
    """Every frame of every clip in order; all memories are empty where a clip begins."""
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
    """Dataset-level mean IoU (eq. 6), a share, of a network in eval mode, with memory."""
    matrix = np.zeros((classes, classes), np.int64)
    for shot in run(NetworkStepper("validation", network, size), clips, [Mode.WITH]):
        matrix += confusion(shot.truth, shot.answers[Mode.WITH].mask, classes)
    return mean_iou(matrix)


def filled_with(stepper: Stepper, frame: Pixels) -> Any:
    """A full memory in which every entry is this frame's."""
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
"""(stepper, frame, what the mode's step before left) -> the memory this frame is given."""


def at_truth(mask: Labels, truth: Labels) -> Labels:
    """A mask at the truth's size. OpenCV's INTER_NEAREST would move it by half a pixel."""
    height, width = truth.shape
    scaled = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(scaled, np.uint8)
